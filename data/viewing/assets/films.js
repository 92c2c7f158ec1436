// The films and the clock.

function showFilms(sources) {
  for (const film of films) { film.pause(); URL.revokeObjectURL(film.src); }
  films = [];
  $("films").replaceChildren(...page.cameras.filter((camera) => sources[camera.name]).map((camera) => {
    const source = sources[camera.name];
    const url = source.file ?? URL.createObjectURL(new Blob([bytes(source.data)], { type: "video/mp4" }));
    const video = make("video", { muted: true, playsInline: true, preload: "auto", src: url, "aria-label": `film of ${camera.name}` });
    video.onerror = () => { films = films.filter((other) => other !== video); caption.textContent += ": this browser cannot play it"; };
    video.onloadedmetadata = () => { if (!playing) video.currentTime = (now + 0.5) / page.fps; };
    films.push(video);
    const caption = make("figcaption", {}, `${camera.label} · ${camera.width} × ${camera.height}`);
    const figure = make("figure", { className: camera.height < 200 ? "film small" : "film" }, video, caption);
    figure.style.setProperty("--ratio", camera.width / camera.height);
    return figure;
  }));
}

function show(frame) { // everything but the films
  now = Math.max(0, Math.min(episode.length - 1, frame));
  $("scrub").value = now;
  $("scrub").setAttribute("aria-valuetext", `frame ${now}, ${seconds(now)} seconds`);
  $("time").textContent = `frame ${now} / ${episode.length - 1} · ${seconds(now)} s`;
  $("plots").style.setProperty("--now", (now + 0.5) / episode.length);
  readout();
}

function seek(frame) {
  show(frame);
  for (const film of films) film.currentTime = (now + 0.5) / page.fps; // in the middle of the frame: no rounding can miss it
  last = now / page.fps;
}

function play() {
  if (!episode) return;
  if (now >= episode.length - 1) seek(0);
  playing = true;
  last = now / page.fps;
  for (const film of films) { film.playbackRate = Number($("speed").value); film.play().catch(() => {}); }
  button();
  requestAnimationFrame((time) => tick(time, time));
}

function tick(time, before) {
  if (!playing) return;
  const [first, ...others] = films;
  last = first ? first.currentTime : last + (time - before) / 1000 * Number($("speed").value);
  for (const film of others) if (Math.abs(film.currentTime - last) > 1.5 / page.fps) film.currentTime = last;
  if (last * page.fps >= episode.length - 0.01 || first?.ended) { pause(); seek(episode.length - 1); return; }
  const frame = Math.floor(last * page.fps + 1e-3);
  if (frame !== now) show(frame);
  requestAnimationFrame((next) => tick(next, time));
}

function pause() {
  if (!playing) return;
  playing = false;
  for (const film of films) film.pause();
  button();
  seek(now);
}

function button() {
  $("icon").setAttribute("d", playing ? "M4 3h4v14H4zM12 3h4v14h-4z" : "M5 3l12 7-12 7z");
  $("play").setAttribute("aria-label", playing ? "Pause" : "Play");
}

const step = (frames) => { pause(); seek(now + frames); };

function neighbour(by) {
  const at = shown.indexOf(episode) + by;
  if (at >= 0 && at < shown.length) open(shown[at]);
}


// The episodes, the keys, and the start.

window.arrived = {}; // number -> what a script beside the page calls with its numbers

function load(row) { // the numbers of an episode: a block of this page, or a script of its own beside it
  if (!loaded.has(row.number)) {
    loaded.set(row.number, new Promise((resolve, reject) => {
      const block = $(`episode-${row.number}`);
      if (block) return resolve(JSON.parse(block.textContent));
      arrived[row.number] = resolve;
      document.head.append(make("script", { src: row.file, onerror: () => reject(new Error(`${row.file} is missing`)) }));
    }));
  }
  return loaded.get(row.number);
}

async function open(row, frame = 0) {
  pause();
  episode = row;
  for (const node of $("list").children) {
    const is = node.dataset.number === String(row.number);
    node.setAttribute("aria-selected", is);
    if (is) { $("list").setAttribute("aria-activedescendant", node.id); node.scrollIntoView({ block: "nearest" }); }
  }
  $("name").textContent = `Episode ${row.number}`;
  $("task").textContent = row.tasks.join(" · ");
  const facts = [`${row.length} frame${row.length === 1 ? "" : "s"}`, `${seconds(row.length)} s`];
  if (row.return !== null) facts.push(`return ${say(row.return)}`);
  $("facts").replaceChildren(facts.join(" · "));
  if (row.success !== null) $("facts").prepend(mark(row.success, row.success ? "success" : "failure"), " · ");
  let content;
  try { content = await load(row); } catch (error) { $("films").textContent = error.message; return; }
  if (episode !== row) return; // another one was chosen meanwhile
  row.series = Object.fromEntries(Object.entries(content.columns).map(([name, column]) => [name, unpack(column)]));
  $("scrub").max = row.length - 1;
  showFilms(content.films);
  showPlots();
  seek(frame);
}

function mark(success, words = "") {
  return make("span", { className: `mark ${success ? "good" : "bad"}` }, `${success ? "✓" : "✗"}${words && " " + words}`);
}

function list() {
  const wanted = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = page.episodes.filter((row) => {
    const outcome = row.success === null ? "" : row.success ? "success" : "failure";
    const text = `${row.number} ${row.tasks.join(" ")} ${outcome}`.toLowerCase();
    return wanted.every((word) => text.includes(word));
  });
  $("list").replaceChildren(...shown.map((row) => {
    const side = `${(row.length / page.fps).toFixed(1)} s${row.return === null ? "" : ` · ${say(row.return, 3)}`}`;
    return make("div", {
      className: "row", role: "option", id: `row-${row.number}`, "data-number": row.number, title: row.tasks.join(" · "),
      "aria-selected": row === episode, onclick: () => open(row),
    }, make("span", { className: "number" }, String(row.number)), row.success === null ? make("span") : mark(row.success),
      make("span", { className: "words" }, row.tasks.join(" · ") || "(no task)"),
      make("span", { className: "side", title: row.return === null ? "length" : "length · return" }, side));
  }));
  $("count").textContent = wanted.length ? `${shown.length} of ${page.episodes.length} episodes` : page.selection;
}

const KEYS = {
  " ": () => (playing ? pause() : play()),
  ArrowLeft: (event) => step(event.shiftKey ? -10 : -1),
  ArrowRight: (event) => step(event.shiftKey ? 10 : 1),
  Home: () => step(-now),
  End: () => step(episode.length),
  ArrowUp: () => neighbour(-1),
  ArrowDown: () => neighbour(1),
  "/": () => $("filter").focus(),
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.id === "filter", vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
  if (typing && event.key === "Escape") { $("filter").value = ""; list(); $("list").focus(); }
  if (!(event.key in KEYS) || event.ctrlKey || event.metaKey || event.altKey || (typing && !vertical)) return;
  if (event.target.tagName === "SELECT" || (event.key === " " && event.target.tagName === "BUTTON")) return;
  event.preventDefault();
  KEYS[event.key](event);
});
$("play").onclick = () => (playing ? pause() : play());
$("back").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("scrub").oninput = () => { const frame = Number($("scrub").value); pause(); seek(frame); };
$("speed").onchange = () => { for (const film of films) film.playbackRate = Number($("speed").value); };
$("filter").oninput = list;
new ResizeObserver(() => { if (episode?.series) panels.forEach(draw); }).observe($("plots"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => panels.forEach(draw));

$("about").textContent = page.about;
$("note").textContent = page.note;
list();
const asked = new URLSearchParams(location.hash.slice(1)); // page.html#episode=3&frame=40
open(page.episodes.find((row) => String(row.number) === asked.get("episode")) ?? page.episodes[0], Number(asked.get("frame")) || 0);

"""Randomised episodes: a function of the seed alone, applied as said, judged on the truth, and written down."""

import functools
import json

import numpy as np
import pytest

from data.errors import ConfigError
from data.rotations import matrix_from_quat, rotation_vector
from sim.collect import VARIATIONS, collect
from sim.rendering.grid import first_pictures, tiled
from sim.rendering.renderer import Look, Renderer
from sim.variation.disturb import Delay
from sim.variation.randomize import GROUPS, LEVELS, RandomizeConfig, Variation, level_of
from tests.sim import conftest
from tests.sim.conftest import TASK, make_arm

SEEDS = np.arange(60, 65)
STRONG = {"level": "strong"}


def only(*groups, level="strong", **ranges):
    return {"level": level, "groups": list(groups), **ranges}


episodes = functools.partial(conftest.episodes, steps=12)


@pytest.mark.parametrize("engine", ["mujoco", "pybullet"])
def test_a_varied_episode_is_the_same_bit_for_bit_beside_any_others(arm, engine):
    if engine == "pybullet":
        pytest.importorskip("pybullet")
    options = {"engine": engine, "randomize": STRONG}
    alone = episodes(arm, SEEDS, 1, **options)
    for together in (episodes(arm, SEEDS, 3, **options), episodes(arm, SEEDS[::-1], 5, **options)):
        for seed, seen in alone.items():
            np.testing.assert_array_equal(together[seed], seen)
    plain = episodes(arm, SEEDS, 5, engine=engine)
    assert all((plain[seed] != alone[seed]).any() for seed in alone)


@pytest.mark.needs_gl
def test_rendering_a_varied_episode_changes_nothing_and_its_pictures_are_its_own(gl, arm):
    drawn = episodes(arm, SEEDS, 5, render=True, randomize=STRONG)
    for seed, seen in episodes(arm, SEEDS, 5, randomize=STRONG).items():
        np.testing.assert_array_equal(seen, drawn[seed])
    many, one = arm(5, randomize=STRONG), arm(1, randomize=STRONG)
    many.reset(SEEDS)
    pictures = many.render("front", size=(48, 64))
    for i, seed in enumerate(SEEDS):
        one.reset(SEEDS[i : i + 1])
        np.testing.assert_array_equal(one.render("front", size=(48, 64))[0], pictures[i])
        look = one.look(one.variation(int(seed)))
        np.testing.assert_array_equal(one.physics.show(one.physics.state()[0], "front", (48, 64), look=look), pictures[i])


def test_nothing_varied_is_the_old_world_and_costs_nothing(arm):
    plain = episodes(arm, SEEDS[:2], 2)
    for randomize in ({}, {"level": "none"}, {"level": 0}, only()):
        env = arm(2, randomize=randomize)
        assert env.physics.model.ngeom == arm(2).physics.model.ngeom
        assert (env.variation(1), env.variations, env._noise, env._delay) == (None, [], None, None)
        for seed, seen in episodes(arm, SEEDS[:2], 2, randomize=randomize).items():
            np.testing.assert_array_equal(seen, plain[seed])


def test_the_tasks_own_draws_stay_and_so_do_those_of_the_other_groups(arm):
    everything, few = arm(1, randomize=STRONG), arm(1, randomize=only("mass", "colors"))
    plain = arm(1)
    for env in (everything, few, plain):
        env.reset(SEEDS[:1])
    for env in (everything, few):
        np.testing.assert_array_equal(env.physics.qpos, plain.physics.qpos)
        np.testing.assert_array_equal(env.physics.mocap_pos, plain.physics.mocap_pos)
    assert everything.variation(1).factors["body_mass"] == few.variation(1).factors["body_mass"]
    assert set(few.variation(1).factors) == {"body_mass"} and set(few.variation(1).looks) == {"color"}


def test_ranges_are_kept_and_grow_with_the_level(arm):
    spread = []
    for level in (0.1, 0.5, 1.0):
        env = arm(1, randomize={"level": level})
        drawn = [env.variation(seed) for seed in range(40)]
        masses = np.array([v.factors["body_mass"] for v in drawn])
        assert masses.max() <= 1.4**level and masses.min() >= 1.4**-level
        frictions = np.array([v.factors["geom_friction"] for v in drawn])
        assert frictions.max() <= 1.5**level and frictions.min() >= 1.5**-level
        delays = np.array([v.delay for v in drawn])
        assert 0 <= delays.min() and delays.max() <= round(30 * level) and len(set(delays)) > 2
        turns = np.abs([v.looks["camera_angle"] for v in drawn])
        assert turns.max() <= 0.06 * level
        assert drawn[0].noise["m"] == pytest.approx(0.003 * level)
        spread.append([np.log(masses).std(), np.log(frictions).std(), delays.std(), turns.std()])
    assert (np.diff(spread, axis=0) > 0).all()


def test_fields_of_the_physics_become_what_the_variation_says_and_go_back(arm):
    """Read back from the engine; spare and later rows do not inherit what was there before."""
    env = arm(3, randomize=only("mass", "friction", "damping", "gains"))
    env.reset(SEEDS[:3])
    model, batch = env.physics.model, env.physics._batch
    for i, seed in enumerate(SEEDS[:3]):
        own, factors = batch.get_model(i), env.variation(int(seed)).factors
        assert env.variations[i] == env.variation(int(seed))
        np.testing.assert_allclose(own.body_mass, model.body_mass * factors["body_mass"])
        np.testing.assert_allclose(own.body_inertia, model.body_inertia * np.array(factors["body_mass"])[:, None])
        np.testing.assert_allclose(own.geom_friction, model.geom_friction * np.array(factors["geom_friction"])[:, None])
        np.testing.assert_allclose(own.dof_damping, model.dof_damping * factors["dof_damping"])
        np.testing.assert_allclose(own.actuator_gainprm[:, 0], model.actuator_gainprm[:, 0] * factors["stiffness"])
        np.testing.assert_allclose(own.actuator_biasprm[:, 1], -own.actuator_gainprm[:, 0])
        np.testing.assert_allclose(own.actuator_biasprm[:, 2], model.actuator_biasprm[:, 2] * factors["servo_damping"])
    first = env.reset(SEEDS[:1])["observation.state"]
    env.reset(SEEDS[1:4])
    np.testing.assert_array_equal(env.reset(SEEDS[:1])["observation.state"], first)


def test_a_log_line_gives_the_variation_back(arm):
    env = arm(1, randomize=STRONG)
    variation = env.variation(3)
    again = Variation.from_json(json.loads(json.dumps(variation.to_json())))
    assert again == variation
    assert all((a == b).all() for a, b in zip(env.look(again).fields.values(), env.look(variation).fields.values(), strict=True))
    with pytest.raises(ConfigError, match="a variation has delay, factors, level, looks, noise, seed; found seed"):
        Variation.from_json({"seed": 3})


def test_noise_has_the_size_that_was_said_and_orientations_stay_unit(arm):
    env, true = arm(60, randomize=only("noise", noise={"m": 0.01, "rad": 0.02})), arm(60)
    seeds = np.arange(60)
    noisy, plain = env.reset(seeds), true.reset(seeds)
    again = env.observe()
    errors = []
    for name in noisy:
        np.testing.assert_array_equal(again[name], noisy[name])  # looking twice shows the same
    for _ in range(15):
        noisy, plain = env.step(plain["observation.state"])[0], true.step(plain["observation.state"])[0]
        errors.append({name: noisy[name] - plain[name] for name in noisy} | {"quat": turned(noisy, plain)})
    for name, where, std in (
        ("observation.state", [0, 1, 2, 7], 0.01),
        ("observation.joints", slice(None), 0.02),
        ("observation.environment_state", [0, 1, 2, 7, 8, 9], 0.01),
        ("quat", slice(None), 0.02),
    ):
        values = np.stack([e[name][:, where] for e in errors])  # (T, B, n)
        assert values.mean(0).std() == pytest.approx(std, rel=0.15)  # constant in an episode
        assert (values - values.mean(0)).std() == pytest.approx(std, rel=0.1)  # anew every step
    np.testing.assert_allclose(np.linalg.norm(noisy["observation.state"][:, 3:7], axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(env.physics.qpos, true.physics.qpos)  # only what is seen is noisy


def turned(noisy, plain):
    a, b = (matrix_from_quat(o["observation.state"][:, 3:7].astype(float)) for o in (noisy, plain))
    return rotation_vector(a @ np.swapaxes(b, 1, 2))


def test_success_is_judged_on_the_truth(arm):
    env = arm(1, randomize=only("noise", noise={"m": 0.5, "rad": 0.5}))
    hold = env.reset(SEEDS[:1])["observation.state"]
    true = np.concatenate([*env.physics.tool(), env.physics.widths()], 1)
    env.physics.set_body("cube", env.physics.body("bin")[0] + [0, 0, 0.03], np.array([[1.0, 0, 0, 0]]), np.array([0]))
    done = [bool(env.step(true)[4]["success"][0]) for _ in range(6)]
    assert done[-1] and np.abs(hold - true).max() > 0.1


def test_an_action_arrives_as_many_physics_steps_late_as_was_said():
    """A hand-made line of orders: 4 physics steps per control step, delays of 0, 3, 4 and 6."""
    delay = Delay(4, 6)
    delay.begin(np.array([0, 3, 4, 6]), {"q": np.zeros((4, 1))})
    rows = np.arange(4)
    followed = [delay.pass_on("q", np.tile(np.arange(k, k + 4)[None, :, None], (4, 1, 1)) + 1.0, rows)[..., 0] for k in (0, 4, 8)]
    line = np.concatenate(followed, 1)
    for row, late in enumerate((0, 3, 4, 6)):
        np.testing.assert_array_equal(line[row], np.concatenate([np.zeros(late), np.arange(1, 13 - late)]))


def test_a_late_arm_does_what_a_punctual_one_did_before(arm):
    """With a delay of exactly two control steps the joints are where they were two control steps earlier."""
    late, punctual = (arm(1, action="joint", home_noise=0.0, randomize=r) for r in (only("delay", delay=0.1), {}))
    late.reset(np.array([1]))
    punctual.reset(np.array([1]))
    start = late.physics.joints()[0][0]
    late._delay.begin(np.array([2 * late.substeps]), {"q": start[None], "dq": np.zeros((1, 7)), "width": np.full((1, 1), 0.08)})
    seen: dict[str, list[np.ndarray]] = {"late": [], "punctual": []}
    for t in range(15):
        target = np.append(start + 0.02 * t, 0.08)[None]
        for name, env in (("late", late), ("punctual", punctual)):
            env.step(target)
            seen[name].append(env.physics.joints()[0][0])
    np.testing.assert_allclose(seen["late"][2:], seen["punctual"][:-2], atol=2e-4)
    assert np.abs(np.array(seen["late"]) - seen["punctual"]).max() > 0.02


def test_a_curriculum_goes_from_one_level_to_the_other_by_the_number_of_the_episode(arm):
    config = RandomizeConfig(curriculum=[0.0, 0.8, 10], first_seed=100)
    assert [level_of(config, seed) for seed in (0, 100, 105, 110, 500)] == pytest.approx([0, 0, 0.4, 0.8, 0.8])
    env = arm(3, randomize={"curriculum": [0.0, 1.0, 10], "first_seed": 100})
    env.reset(np.array([100, 105, 110]))
    assert [v.level for v in env.variations] == [0.0, 0.5, 1.0]
    assert set(env.variations[0].factors["body_mass"]) == {1.0} and env.variations[0].delay == 0
    plain = episodes(arm, np.array([100]), 1, randomize={"curriculum": [0.0, 1.0, 10], "first_seed": 100})[100]
    np.testing.assert_array_equal(plain, episodes(arm, np.array([100]), 1)[100])  # at level 0 nothing is left of it


def test_names_of_levels_and_numbers():
    assert [level_of(RandomizeConfig(level=name), 0) for name in LEVELS] == [0, 0.25, 0.5, 1]
    assert level_of(RandomizeConfig(level="0.3"), 0) == 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "mid"}, "env.randomize.level='mid'; allowed: light, medium, none, strong, or a number from 0 to 1"),
        ({"level": 1.5}, "env.randomize.level=1.5: none, light, medium, strong, or a number from 0 to 1"),
        ({"groups": ["colours"]}, "env.randomize.groups: 'colours'; did you mean 'colors'"),
        ({"masss": 0.1}, "unknown option 'masss'; did you mean 'mass'"),
        ({"mass": -0.1}, "env.randomize.mass=-0.1: a range is a number that is not negative"),
        ({"noise": {"m": -1.0}}, "env.randomize.noise=.*not negative"),
        ({"curriculum": [0, 2, 10]}, "env.randomize.curriculum=.* levels from 0 to 1, at least 1 episode"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        make_arm(1, randomize=options)


@pytest.mark.needs_gl
@pytest.mark.parametrize("group", ["textures", "colors", "lights", "camera"])
def test_each_visual_group_changes_the_picture_and_nothing_but(gl, arm, group):
    env, plain = arm(2, randomize=only(group)), arm(2)
    env.reset(SEEDS[:2])
    plain.reset(SEEDS[:2])
    ours, theirs = env.render("front").astype(int), plain.render("front").astype(int)
    changed = (np.abs(ours - theirs).max(-1) > 8).mean((1, 2))
    assert (changed > 0.1).all() and (ours[0] != ours[1]).any()
    shape = plain.render_depth("front"), env.render_depth("front")
    there = np.isfinite(shape[0])
    if group == "camera":
        both = there & np.isfinite(shape[1])
        assert np.abs(shape[0][both] - shape[1][both]).mean() > 1e-3
    else:
        np.testing.assert_allclose(shape[1][there], shape[0][there], atol=1e-5)
        assert (shape[1][~there] > 2).all()  # walls behind the scene, or nothing
    np.testing.assert_array_equal(env.physics.qpos, plain.physics.qpos)


@pytest.mark.needs_gl
def test_in_software_a_varied_scene_has_the_same_shapes_and_darkens_with_the_light(gl, arm):
    pytest.importorskip("pybullet")
    env = arm(4, randomize=only("textures", "camera", level="light"))
    env.reset(SEEDS[:4])
    renderer = Renderer(env.physics.model, software=True)
    theirs = env.render_segmentation("front", size=(120, 160))
    for state, look, expected in zip(env.physics.state(), env._looks, theirs, strict=True):
        assert (renderer.segmentation(state, "front", (120, 160), look) == expected).mean() > 0.995
    assert len(np.unique(theirs >= 0, axis=0)) > 1  # something behind the scene is there in some and not in others
    head = env.physics.model.vis.headlight
    dark = {"vis.headlight.diffuse": head.diffuse * 0.3, "vis.headlight.ambient": head.ambient * 0.3}
    pictures = [renderer.color(env.physics.state()[0], "front", (24, 32), look=Look(fields)).astype(int) for fields in ({}, dark)]
    things = renderer.segmentation(env.physics.state()[0], "front", (24, 32)) >= 0
    assert pictures[1][things].mean() < 0.8 * pictures[0][things].mean()
    renderer.close()


def test_a_collection_writes_what_each_episode_got_and_goes_on_where_it_stopped(tmp_path):
    task = TASK | {"level": "easy"}

    def run(root, count):
        env = make_arm(2, task=task, expert="sim.tasks.pick_place.PickPlaceExpert", randomize=only("mass", "noise", level="light"))
        counts = collect(env, root, np.arange(30, 30 + count), {"clean": 1.0}, {}, images=False)
        env.close()
        return counts

    run(tmp_path / "a", 2)
    counts = run(tmp_path / "a", 3)
    run(tmp_path / "b", 3)
    lines = (tmp_path / "a" / VARIATIONS).read_text()
    assert counts["episodes"] == 3 and lines == (tmp_path / "b" / VARIATIONS).read_text()
    rows = [json.loads(line) for line in lines.splitlines()]
    env = make_arm(1, task=task, randomize=only("mass", "noise", level="light"))
    for i, row in enumerate(rows):
        assert row.pop("episode_index") == i
        assert Variation.from_json(row) == env.variation(30 + i)
    env.close()


@pytest.mark.needs_gl
def test_a_grid_shows_every_episode_once(gl, arm):
    pictures = first_pictures(arm(2, randomize=STRONG), SEEDS[:3], "front", (24, 32))
    sheet = tiled(pictures, 2, gap=1)
    assert sheet.shape == (49, 65, 3)
    np.testing.assert_array_equal(sheet[:24, 33:], pictures[1])
    np.testing.assert_array_equal(sheet[25:, :32], pictures[2])
    assert (sheet[25:, 33:] == 255).all() and (sheet[24] == 255).all()


def test_every_group_has_its_switch():
    for group in GROUPS:
        env = make_arm(1, randomize=only(group))
        variation = env.variation(1)
        used = [bool(variation.delay), bool(variation.noise), bool(variation.factors), bool(variation.looks)]
        assert sum(used) == 1 or (group == "delay" and sum(used) == 0), group
        env.close()

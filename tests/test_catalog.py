"""The door from `{name, parameters}` to an object: what it lets in, and what it says to the rest."""

import sys
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lrbench.components import DATASETS, LOSSES, MODELS, OPTIMIZERS, TASKS
from lrbench.errors import ConfigError, UserCodeError
from lrbench.registry import Catalog
from lrbench.schedules import PLATEAUS, SCHEDULES, SCHEDULES_AND_PLATEAUS
from lrbench.types import Count, Duration, Epochs, Fraction, Natural, NonNegative, Part, Positive, Steps, load_object

# --- Part --------------------------------------------------------------------------------------------------


def test_a_bare_name_is_shorthand():
    assert Part.of("step") == Part("step", {}) == Part.of({"name": "step"})
    part = Part.of({"name": "step", "factor": 0.5})
    assert (part.name, part.params) == ("step", {"factor": 0.5})
    assert Part.of(part) is part
    assert part.plain() == {"name": "step", "factor": 0.5}
    assert [Part(name).imported for name in ("step", "a.b:c")] == [False, True]


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        ({"factor": 0.5}, "no `name`"),
        (None, "got None"),
        (3, "got 3"),
        (["step"], "a name or a mapping"),
        ({"name": 3}, "must be text"),
        ({"name": None}, "must be text"),
        ("", "must be text"),
        ("  ", "must be text"),
    ],
)
def test_what_is_no_part(value, fragment):
    with pytest.raises(ValueError, match=fragment):
        Part.of(value)


# --- Duration ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "amount", "unit"),
    [
        ("15 epochs", 15, "epochs"),
        ("1 epoch", 1, "epochs"),
        ("0.5epochs", 0.5, "epochs"),
        ("300 steps", 300, "steps"),
        ("1 step", 1, "steps"),
        (" 1e3 steps ", 1000, "steps"),
        ("10%", 10, "percent"),
        ("2.5 %", 2.5, "percent"),
        (".5%", 0.5, "percent"),
        ("7", 7, "steps"),
        (7, 7, "steps"),
        (0, 0, "steps"),
        (1.5, 1.5, "steps"),
        (1e-5, 1e-5, "steps"),
    ],
)
def test_durations(value, amount, unit):
    assert Duration.parse(value, "steps") == Duration(amount, unit)


def test_a_bare_number_has_the_keys_unit():
    assert Duration.parse(15, "epochs") == Duration.parse("15 epochs", "steps") == Duration(15, "epochs")


@pytest.mark.parametrize(
    "value",
    [
        *["", "epochs", "15 weeks", "-1 epochs", "1.2.3", ".", "nan", "inf", "15 epochs 3", "1e999 steps"],
        *[
            "15 EPOCHS",
            "1e steps",
            -1,
            1e12,
            float("nan"),
            float("inf"),
            True,
            False,
            None,
            [15],
            {"epochs": 15},
        ],
    ],
)
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match="must be a duration"):
        Duration.parse(value, "epochs")


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("2 epochs", 200),
        ("0.5 epochs", 50),
        ("7 steps", 7),
        ("10%", 100),
        ("0.05%", 1),  # half a step rounds up
        ("0.001%", 1),  # at least one
        ("2.4 steps", 2),
        ("2.5 steps", 3),
        ("0 epochs", 0),
        ("0%", 0),
    ],
)
def test_lengths_in_updates(text, steps):
    assert Duration.parse(text, "epochs").steps(total_steps=1000, steps_per_epoch=100) == steps


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (Duration(15.0, "epochs"), "15 epochs"),
        (Duration(10.0, "percent"), "10%"),
        (Duration(0.5, "steps"), "0.5 steps"),
        (Duration(123456789012.0, "steps"), "123456789012 steps"),
    ],
)
def test_durations_as_text(duration, text):
    assert str(duration) == text


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1e12, exclude_max=True), st.sampled_from(["epochs", "steps", "percent"]))
def test_a_duration_reads_back_exactly(amount, unit):
    duration = Duration(amount, unit)
    assert Duration.parse(str(duration), "epochs") == duration


# --- a catalogue's own checks ------------------------------------------------------------------------------


def paint(
    *,
    colour: Literal["red", "green"] = "red",
    layers: Count = 2,
    gloss: Fraction = 0.5,
    cost: Positive,
    dry: Epochs = Duration(1, "epochs"),
    wait: Steps | None = None,
    sizes: list[Count] = [1, 2],  # noqa: B006
    wet: bool = False,
    wall: str,
):
    """Paint a wall.

    More about it.
    """
    return {"colour": colour, "layers": layers, "cost": cost, "dry": dry, "sizes": sizes, "wall": wall}


def fussy(*, mood: str = "good"):
    raise {"bad": ValueError, "odd": TypeError, "worse": RuntimeError, "ours": ConfigError}[mood](f"a {mood} mood")


WORKS = Catalog(
    kind="work",
    entries={"paint": paint, "fussy": fussy},
    context=frozenset({"wall"}),
    refused={"wallpaper": "it peels"},
)


def test_complete_writes_defaults_out():
    assert WORKS.complete(Part("paint", {"cost": 3})).plain() == {
        "name": "paint",
        "colour": "red",
        "layers": 2,
        "gloss": 0.5,
        "cost": 3.0,
        "dry": "1 epochs",
        "wait": None,
        "sizes": [1, 2],
        "wet": False,
    }


def test_complete_puts_values_into_one_form():
    given_twice = [
        WORKS.complete(Part("paint", params)).plain()
        for params in (
            {"cost": 1, "dry": 3, "wait": 20, "gloss": 1},
            {"gloss": 1.0, "wait": "20 steps", "dry": "3 epochs", "cost": 1.0},
        )
    ]
    assert given_twice[0] == given_twice[1]
    assert (given_twice[0]["dry"], given_twice[0]["wait"]) == ("3 epochs", "20 steps")
    assert list(given_twice[0]) == list(given_twice[1])
    again = WORKS.complete(Part.of(given_twice[0])).plain()
    assert again == given_twice[0]


def test_complete_leaves_imported_and_foreign_parts_alone():
    imported = Part("no.such.module:thing", {"anything": object})
    assert WORKS.complete(imported) is imported
    foreign = Catalog(kind="work", entries={"paint": paint}, foreign=True)
    part = Part("paint", {"colours": "blue"})
    assert foreign.complete(part) is part


def test_build_gives_parameters_and_context():
    made = WORKS.build(Part("paint", {"cost": 2, "dry": "10%", "sizes": [3]}), wall="north", unused=1)
    assert made == {
        "colour": "red",
        "layers": 2,
        "cost": 2.0,
        "dry": Duration(10, "percent"),
        "sizes": [3],
        "wall": "north",
    }


WRONG = [
    ({"cost": "3"}, "work.cost", "must be a number"),
    ({"cost": True}, "work.cost", "must be a number"),
    ({"cost": 0}, "work.cost", "greater than 0 .got 0"),
    ({"cost": float("inf")}, "work.cost", "finite"),
    ({"cost": float("nan")}, "work.cost", "finite"),
    ({"cost": None}, "work.cost", "must be a number"),
    ({"cost": [1]}, "work.cost", "must be a number"),
    ({"cost": 1, "layers": 2.5}, "work.layers", "whole number"),
    ({"cost": 1, "layers": True}, "work.layers", "whole number"),
    ({"cost": 1, "layers": "2"}, "work.layers", "whole number"),
    ({"cost": 1, "layers": 0}, "work.layers", "at least 1"),
    ({"cost": 1, "gloss": 1.01}, "work.gloss", "at most 1"),
    ({"cost": 1, "wet": 1}, "work.wet", "true or false"),
    ({"cost": 1, "wet": "true"}, "work.wet", "true or false"),
    ({"cost": 1, "colour": "rde"}, "work.colour", "'red' or 'green'"),
    ({"cost": 1, "dry": "long"}, "work.dry", "must be a duration"),
    ({"cost": 1, "sizes": 3}, "work.sizes", "must be a list"),
    ({"cost": 1, "sizes": [1, 0]}, "work.sizes", "item 1 .*at least 1"),
    ({"cost": 1, "colours": "red"}, "work.colours", "did you mean 'colour'"),
    ({"cost": 1, "wall": "south"}, "work.wall", "no parameter 'wall'"),
    ({}, "work", "needs the parameter 'cost'"),
]


@pytest.mark.parametrize("door", [WORKS.complete, lambda part: WORKS.build(part, wall="north")])
@pytest.mark.parametrize(("params", "key", "fragment"), WRONG)
def test_wrong_values(door, params, key, fragment):
    with pytest.raises(ConfigError, match=fragment) as caught:
        door(Part("paint", params))
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (Positive, [1, 0.5], [0, -1, "1", True, float("inf")]),
        (NonNegative, [0, 0.0, 3], [-1e-9, "0", False, float("nan")]),
        (Fraction, [0, 1, 0.5], [1.1, -0.1, "0.5", True]),
        (Count, [1, 25, 3.0], [0, 1.5, "1", True]),
        (Natural, [0, 2**63 - 1, 1e3], [-1, 0.5, "0", False, 2**63]),
    ],
)
def test_numbers_are_strict(annotation, good, bad):
    def take(*, x: annotation):
        return x

    table = Catalog(kind="thing", entries={"take": take})
    for value in good:
        assert table.build(Part("take", {"x": value})) == value
    for value in bad:
        with pytest.raises(ConfigError):
            table.build(Part("take", {"x": value}))


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        (
            "piant",
            "unknown work 'piant'; did you mean 'paint'. Choices: fussy, paint, or 'package.module:name'",
        ),
        ("zzz", "unknown work 'zzz'; choices: fussy, paint"),
        ("wallpaper", "can't be used: it peels"),
    ],
)
def test_unknown_names(name, fragment):
    for door in (WORKS.complete, WORKS.build):
        with pytest.raises(ConfigError, match=fragment):
            door(Part(name))


@pytest.mark.parametrize("catalog", [DATASETS, LOSSES, MODELS, SCHEDULES], ids=lambda catalog: catalog.kind)
def test_our_own_entries_describe_themselves(catalog):
    for name in catalog.entries:
        assert catalog.summary(name).endswith((".", ":")), name
        shown = {parameter.name for parameter in catalog.described(name).parameters}
        assert not shown & catalog.context


def test_parameters_are_shown_as_a_config_writes_them():
    shown = {p.name: (p.default, p.required) for p in WORKS.described("paint").parameters}
    assert "wall" not in shown
    assert shown["cost"] == ("", True)
    assert shown["dry"] == ("1 epochs", False)
    assert shown["wet"] == ("false", False)
    assert shown["wait"] == ("null", False)
    assert WORKS.summary("paint") == "Paint a wall."


@pytest.mark.parametrize("catalog", [DATASETS, LOSSES, MODELS, OPTIMIZERS, SCHEDULES, TASKS], ids=lambda one: one.kind)
def test_parameters_of_our_own_entries_have_meanings(catalog):
    for name in catalog.entries:
        if "/" not in name:
            assert all(one.meaning for one in catalog.described(name).parameters), name


def test_an_entry_says_whose_its_parameters_are():
    own, torchs = MODELS.described("mlp"), OPTIMIZERS.described("sgd")
    assert own.origin == "" and len(SCHEDULES.described("sequence").paragraphs) == 2
    assert torchs.origin == "torch.optim.sgd.SGD" and torchs.paragraphs[0].startswith("Stochastic gradient descent")
    imported = SCHEDULES.described("torch.optim.lr_scheduler:StepLR")
    assert imported.origin == "torch.optim.lr_scheduler.StepLR" and len(imported.paragraphs) == 1


def test_all_names_have_a_line():
    names = SCHEDULES_AND_PLATEAUS.names()
    assert names["cosine"] == SCHEDULES.summary("cosine")
    assert names["torch/StepLR"] == "StepLR of torch.optim.lr_scheduler."
    assert names["1cycle"] == "The same as one_cycle."
    assert names["timm/plateau"] == PLATEAUS.summary("timm/plateau")
    assert all(names.values()) and {*SCHEDULES.entries, *SCHEDULES.aliases, *PLATEAUS.entries} <= {*names}


# --- what factories raise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", ["bad", "odd", "ours"])
def test_a_refusal_is_a_config_error(mood):
    with pytest.raises(ConfigError, match=f"a {mood} mood") as caught:
        WORKS.build(Part("fussy", {"mood": mood}), "shed.door")
    assert caught.value.key == "shed.door"


def test_our_own_bugs_are_not_blamed_on_the_config():
    with pytest.raises(RuntimeError, match="a worse mood"):
        WORKS.build(Part("fussy", {"mood": "worse"}))


USERS_OWN = """
from lrbench.errors import ConfigError

class Net:
    def __init__(self, outputs, *, width=4):
        self.outputs, self.width = outputs, width

    @classmethod
    def small(cls, outputs):
        return cls(outputs, width=1)

def anything(**given):
    if given.get("fail"):
        raise RuntimeError("deep inside")
    if given.get("refuse"):
        raise ValueError("not this way")
    if given.get("plain") and "classes" in given:
        raise TypeError("unexpected keyword argument 'classes'")
    return given

def refusing(size):
    raise ValueError("too big")

def failing(size=1):
    raise RuntimeError("deep inside")

def asserting(size=1):
    assert size > 3, "size matters"

_hidden = 1
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The name of a module of the user's that can be imported."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in ("users_own_parts", "users_broken_parts"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "users_own_parts.py").write_text(USERS_OWN)
    yield "users_own_parts"
    sys.modules.pop("users_own_parts", None)


def test_imported_factories_get_the_context_they_ask_for(own):
    made = WORKS.build(Part(f"{own}:Net", {"width": 7}), outputs=10, wall="north")
    assert (made.outputs, made.width) == (10, 7)
    made = WORKS.build(Part(f"{own}:Net.small"), outputs=10)
    assert (made.outputs, made.width) == (10, 1)
    assert WORKS.build(Part(f"{own}:Net", {"outputs": 3}), outputs=10).outputs == 3


def test_imported_parameters_are_checked_by_name(own):
    with pytest.raises(ConfigError, match="no parameter 'widht'; did you mean 'width'"):
        WORKS.build(Part(f"{own}:Net", {"widht": 7}), outputs=10)
    with pytest.raises(ConfigError, match="needs the parameter 'outputs'"):
        WORKS.build(Part(f"{own}:Net"))


def test_a_fallback_is_dropped_where_it_does_not_fit(own):
    fallback = {"classes": 10}
    assert WORKS.build(Part(f"{own}:anything", {"a": 1}), fallback=fallback) == {"a": 1, "classes": 10}
    assert WORKS.build(Part(f"{own}:anything", {"classes": 3}), fallback=fallback) == {"classes": 3}
    assert WORKS.build(Part(f"{own}:anything", {"plain": 1}), fallback=fallback) == {"plain": 1}
    assert WORKS.build(Part(f"{own}:Net"), fallback=fallback, outputs=2).outputs == 2


@pytest.mark.parametrize("fallback", [None, {"classes": 10}])
def test_what_imported_factories_raise(own, fallback):
    with pytest.raises(ConfigError, match="rejected its parameters: not this way"):
        WORKS.build(Part(f"{own}:anything", {"refuse": True}), fallback=fallback)
    with pytest.raises(UserCodeError, match="deep inside") as caught:
        WORKS.build(Part(f"{own}:anything", {"fail": True}), fallback=fallback)
    assert "users_own_parts.py" in str(caught.value), "the user's own frame is shown"


@pytest.mark.parametrize(
    ("name", "params", "error", "fragment"),
    [
        ("refusing", {"size": 3}, ConfigError, "too big"),
        ("asserting", {}, ConfigError, "size matters"),
        ("failing", {}, UserCodeError, "deep inside"),
    ],
)
def test_refusals_and_failures_of_imported_code(own, name, params, error, fragment):
    with pytest.raises(error, match=fragment):
        WORKS.build(Part(f"{own}:{name}", params))


# --- import strings ----------------------------------------------------------------------------------------


def test_load_object(own):
    assert load_object("math:pi", "k") == pytest.approx(3.141592653589793)
    assert load_object("os.path:join", "k")("a", "b").startswith("a")
    assert load_object(f"{own}:Net.small", "k")(1).width == 1


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("no_such_module_here:thing", "cannot import 'no_such_module_here'.*searched "),
        ("math.no_such:thing", "cannot import 'math.no_such'"),
        ("math:acsoh", "'math' has no 'acsoh'; did you mean 'acosh'"),
        ("math:truncate", "did you mean 'trunc'"),  # late in a long list
        ("users_own_parts:Net.tiny", "has no 'tiny'"),
        ("math:", "not an import string"),
        (":pi", "not an import string"),
        ("a:b:c", "not an import string"),
        ("a b:c", "not an import string"),
        (".nets:build", "not an import string"),
        ("os..path:join", "not an import string"),
        ("math:pi.", "not an import string"),
        ("os;exit():x", "not an import string"),
    ],
)
def test_names_that_cannot_be_imported(own, name, fragment):
    with pytest.raises(ConfigError, match=fragment) as caught:
        load_object(name, "model.name")
    assert caught.value.key == "model.name"


def test_hidden_names_are_not_offered(own):
    with pytest.raises(ConfigError) as caught:
        load_object(f"{own}:hidden", "k")
    assert "_hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("raise RuntimeError('no good')", "raised RuntimeError: no good"),
        ("def (:", "raised SyntaxError"),
        ("import sys\nsys.exit(3)", "raised SystemExit: 3"),
    ],
)
def test_a_module_that_fails_while_imported(own, tmp_path, text, fragment):
    (tmp_path / "users_broken_parts.py").write_text(text)
    with pytest.raises(UserCodeError, match=fragment):
        load_object("users_broken_parts:thing", "model.name")


def test_a_module_that_lacks_a_package(own, tmp_path):
    (tmp_path / "users_broken_parts.py").write_text("import no_such_package_here\n")
    with pytest.raises(ConfigError, match="No module named 'no_such_package_here'"):
        load_object("users_broken_parts:thing", "model.name")


def test_the_current_folder_is_searched_first(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "only_in_this_folder", raising=False)
    (tmp_path / "only_in_this_folder.py").write_text("thing = 42\n")
    assert load_object("only_in_this_folder:thing", "k") == 42
    sys.modules.pop("only_in_this_folder")

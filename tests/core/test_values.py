"""Values as people type them: text stays as it was typed, the rest is read by few rules, nothing else happens."""

import contextlib
import json
import math
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field

from core import settings as files
from core.errors import UserError
from core.settings import Section, merge, read_yaml, split, validate
from core.values import Raw, parse, settle
from core.words import parse_overrides


class Sample(Section):
    """One setting of each kind."""

    model_config = ConfigDict(extra="allow")

    text: str = ""
    word: str | None = None
    whole: int = 1
    number: float | None = 1.0
    switch: bool = False
    choice: bool | str = "a"
    items: tuple[int, ...] = Field((), description="Whole numbers.")


def typed(key, value):
    """A setting given as a word of the command line."""
    layer = parse_overrides([f"env_args.{key}={value}"])
    return getattr(validate(Sample, merge([("command line", layer)]).values["env_args"], {}, "env_args."), key)


TRAPS = [
    "/data/my results #2", "007", "1:30", "yes", "no", "on", "2024-05-01", "010", "0x1F", "1e-3", "null", "None",
    "true", "[1, 2]", "(8,8)", "{a: 1}", "'quoted'", '"quoted"', " spaces ", ".x.\n..x\n", "a: b", "- a", "*a", "&a",
    "!x", "%", "@", "`", "|", ">", "~", "", "=", "a=b", "é", "\t", "1_000", "<<", "? a", "# a", "\\n", "---", "...",
]  # fmt: skip


@pytest.mark.parametrize("text", TRAPS)
def test_text_stays_as_it_was_typed(text):
    assert typed("text", text) == text
    assert type(typed("text", text)) is str
    assert typed("word", text) == (None if text in ("", "null", "None") else text)


@given(st.text())
@settings(max_examples=300)
def test_any_text_comes_back_where_the_setting_is_text(text):
    assert typed("text", text) == text
    assert typed("word", text) == (None if text in ("", "null", "Null", "NULL", "None") else text)


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_come_back(number):
    assert parse(str(number)) == typed("anything", number) == typed("whole", number) == number
    assert type(typed("whole", number)) is int


@given(st.floats(allow_nan=False))
@example(1e-3)
@example(5e-324)
def test_numbers_come_back(number):
    assert parse(repr(number) if math.isfinite(number) else f"{number}".replace("inf", ".inf")) == number
    if math.isfinite(number):
        assert typed("number", repr(number)) == number
        assert type(typed("anything", repr(number))) is float


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(values) | st.dictionaries(st.text(), values))
def test_json_is_read(value):
    assert parse(json.dumps(value)) == value


@given(st.tuples(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()))
def test_tuples_are_read(value):
    assert parse(str(value)) == value


@given(st.text(alphabet="[]{}(),:'\"\\ \n01aeE.+-_~#") | st.text())
@settings(max_examples=500)
@example("[" * 10_000)
@example("{a: " * 10_000)
@example("9" * 10_000)
@example("[" + "9" * 10_000 + "]")
@example("{a: 1, a: 2}")
@example('"\\ud800"')
def test_nothing_but_a_users_error_comes_of_any_text(text):
    with contextlib.suppress(UserError):
        parse(text)
        typed("anything", text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("null", None), ("None", None), ("true", True), ("True", True), ("TRUE", True), ("false", False),
        ("1", 1), ("-3", -3), ("+5", 5), ("1_000", 1000), ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 1e-3),
        ("1E5", 1e5), (".inf", math.inf), ("(8,8)", (8, 8)), ("(8,)", (8,)), ("()", ()), ("[]", []), ("[1,]", [1]),
        ("[1, a b, [2]]", [1, "a b", [2]]), ("{a: 1, b: [x], c: }", {"a": 1, "b": ["x"], "c": None}),
        ("{a:1}", {"a": 1}), ("{1: x:y}", {1: "x:y"}), ("'007'", "007"), ('"a\\nb"', "a\nb"), ("'it''s'", "it's"),
        ("[null, True, '1']", [None, True, "1"]),
    ],
)  # fmt: skip
def test_what_is_read_where_the_type_is_not_known(text, value):
    assert parse(text) == value
    assert type(parse(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "on", "007", "010", "00", "0x1F", "0o17", "1:30", "2024-05-01", "nan", "inf", "1__0", "_1", "1 # one", " 1",
     "1\n", "(a)", "[1", "[1] x", "[,]", "{a}", "a, b", '"a" b', "1e999", "~", "x\n.\n", "it's"],
)  # fmt: skip
def test_anything_else_is_text(text):
    assert parse(text) == text
    assert typed("anything", text) == text


def test_numbers_with_leading_zeros_are_decimal_where_a_number_is_wanted():
    assert typed("whole", "010") == 10
    assert typed("number", "007.5") == 7.5
    assert typed("items", "[00, 010]") == (0, 10)


@pytest.mark.parametrize("text", ["true", "0x10", "0o17", "1:30", "1.5", "[1]"])
def test_what_is_no_whole_number(text):
    with pytest.raises(UserError, match=r"env_args\.whole="):
        typed("whole", text)


def test_a_switch():
    assert [typed("switch", text) for text in ("true", "False", "yes", "0")] == [True, False, True, False]
    with pytest.raises(UserError, match="valid boolean"):
        typed("switch", "maybe")


def test_quotes_that_arrive_are_part_of_a_text():
    assert typed("text", "'a'") == "'a'"
    assert typed("anything", "'a'") == "a"


def test_a_teams_settings_follow_the_same_rules():
    layer = parse_overrides(["team.prey.text=007", "team.prey.whole=010", "env_args={text: '1', whole: 3}"])
    sections = split(merge([("command line", layer["team"]["prey"])]), {"sample": Sample}, elsewhere={})
    assert (sections["sample"].text, sections["sample"].whole) == ("007", 10)
    assert layer["env_args"] == {"text": "1", "whole": 3}


# -- files -----------------------------------------------------------------------------------------------------------


def written(path, content, encoding="utf-8"):
    file = path / "own.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return file


def in_file(path, content):
    return validate(Sample, read_yaml(written(path, content)), {})


def test_files_follow_the_same_rules(tmp_path):
    read = in_file(
        tmp_path,
        "text: 007  # a comment\nword: 2024-05-01\nwhole: 010\nnumber: 1e-3\nswitch: yes\nitems: [0, 00, 1]\n"
        "a: 1:30\nb: 0x1F\nc: (8, 8)\nd: {x: [1, yes, 1e3, ~]}\ne: '1'\nf: |\n  .x.\n  x..\ng: no\nh: 2001-12-14\n"
        "i: !!str 5\nj: !!int 010\nk: 0.5\nl: .inf\nm:\n",
    )
    assert (read.text, read.word, read.whole, read.number, read.switch) == ("007", "2024-05-01", 10, 1e-3, True)
    assert read.items == (0, 0, 1)
    assert read.model_extra == {
        "a": "1:30", "b": "0x1F", "c": (8, 8), "d": {"x": [1, "yes", 1e3, None]}, "e": "1", "f": ".x.\nx..\n",
        "g": "no", "h": "2001-12-14", "i": "5", "j": "010", "k": 0.5, "l": math.inf, "m": None,
    }  # fmt: skip
    assert not any(isinstance(value, Raw) for value in (*read.model_extra.values(), *read.model_extra["d"]["x"]))


@pytest.mark.parametrize("text", ["null", "~", ""])
def test_null_is_null_in_a_file(tmp_path, text):
    read = in_file(tmp_path, f"text: {text}\nword: {text}\nnumber: {text}\n")
    assert (read.text, read.word, read.number) == ("", None, None)


@given(text=st.text(alphabet=string.ascii_letters + string.digits + "._-+/", min_size=1))
@settings(max_examples=200)
def test_plain_words_come_back_from_a_file(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    if text not in ("null", "Null", "NULL", "---", "...", "-"):
        assert in_file(folder, f"text: {text}\n").text == text


def test_merge_keys(tmp_path):
    read = read_yaml(written(tmp_path, "env_args: &one {a: 1, b: 2}\nother: {<<: *one, b: 3}\nlast:\n  <<: [*one]\n"))
    assert settle(read) == {"env_args": {"a": 1, "b": 2}, "other": {"a": 1, "b": 3}, "last": {"a": 1, "b": 2}}


def test_merge_keys_of_merge_keys(tmp_path):
    read = read_yaml(written(tmp_path, "a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: {<<: *b, x: 3}\nd: *b\n"))
    assert settle(read) == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 3}, "d": {"x": 2}}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path, encoding):
    assert settle(read_yaml(written(tmp_path, "text: é\n", encoding))) == {"text": "é"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("lr: 1\ntext: é\n".encode("latin-1"), ["line 2 is not UTF-8", "iconv"]),
        ("text: é\n".encode("utf-16-le"), ["own.yaml"]),
        (b"\xff\xfea", ["own.yaml", "UTF-8"]),
        ("a: \x01", ["special characters"]),
        ("lr: 1\nenv_args:\n  a: 1\n  a: 2\n", ["own.yaml", "given twice: a", "line 3"]),
        ("lr: 1\nlr: 2\n", ["own.yaml", "given twice: lr"]),
        ("lr: 1\nlr: '1'\n", ["own.yaml", "given twice: lr"]),
        ("a: {b: 1}\na: {b: 1}\n", ["own.yaml", "given twice: a"]),
        ("a: [1", ["own.yaml", "line"]),
        ("a: !!python/object:os.system x", ["own.yaml", "python"]),
        ("a: <<\n", ["own.yaml"]),
        ("? [a]\n: 1\n", ["own.yaml"]),
        ("- 1", ["key: value"]),
        ("[" * 5000, ["own.yaml"]),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, expected):
    with pytest.raises(UserError) as error:
        read_yaml(written(tmp_path, content))
    assert [word for word in ["own.yaml", *expected] if word not in str(error.value)] == []
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_holds_itself(tmp_path):
    with pytest.raises(UserError, match="nested"):
        validate(Sample, read_yaml(written(tmp_path, "a: &a [*a]\n")), {})


def test_a_file_is_parsed_once_and_read_anew(tmp_path):
    """What a reader does with it is nothing to the next one, and an edit counts."""
    path = written(tmp_path, "a: {b: [1, 2]}\n")
    parsed = files._parsed.cache_info().misses
    first = read_yaml(path)
    first["a"]["b"].append(3)
    assert settle(read_yaml(path)) == {"a": {"b": [1, 2]}}
    assert files._parsed.cache_info().misses == parsed + 1
    written(tmp_path, "a: {b: [1, 7]}\n")
    assert settle(read_yaml(path)) == {"a": {"b": [1, 7]}}

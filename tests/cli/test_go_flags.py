"""Goal: flags are taken as the Go program takes them. Method: a command of the test's own, called in many forms.

Bug planted to try these tests: the value after a flag is looked at, and one with a dash taken for a flag.
"""

import click
import pytest

from litestream.go_flags import GoCommand, go_flag, go_option


@click.command("probe", cls=GoCommand)
@click.argument("words", nargs=-1)
@go_option("config", "PATH", "A path.")
@go_flag("once", "A truth.")
@click.option("-o", "output")
def probe(*, words: tuple[str, ...], config: str | None, once: bool, output: str | None) -> None:
    click.echo(repr((words, config, once, output)))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    probe.main(list(arguments), standalone_mode=False)
    return capsys.readouterr().out.rstrip("\n")


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ([], ((), None, False, None)),
        (["-config", "a"], ((), "a", False, None)),
        (["--config", "a"], ((), "a", False, None)),
        (["-config=a"], ((), "a", False, None)),
        (["--config=a=b"], ((), "a=b", False, None)),
        (["-config="], ((), "", False, None)),
        (["-config", "-5m"], ((), "-5m", False, None)),
        (["-config", "--once"], ((), "--once", False, None)),
        (["-once"], ((), None, True, None)),
        (["--once=true"], ((), None, True, None)),
        (["-once=1"], ((), None, True, None)),
        (["-once=false"], ((), None, False, None)),
        (["-o", "x", "-once", "a", "b"], (("a", "b"), None, True, "x")),
        (["-o=x", "a"], (("a",), None, False, "x")),
        (["a", "-once", "b"], (("a", "b"), None, True, None)),
        (["--", "-once", "b"], (("-once", "b"), None, False, None)),
        (["-"], (("-",), None, False, None)),
    ],
)
def test_flags_are_taken_in_every_form(
    capsys: pytest.CaptureFixture[str], arguments: list[str], taken: tuple[object, ...]
) -> None:
    assert run(capsys, *arguments) == repr(taken)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-conf", "a"], "no such flag: -conf; did you mean -config?"),
        (["--zzz"], "no such flag: -zzz"),
        (["-ox"], "no such flag: -ox"),
        (["-once=maybe"], "expected true or false for -once, got 'maybe'"),
        (["-config"], "requires an argument"),
    ],
)
def test_a_wrong_flag_is_told(arguments: list[str], message: str) -> None:
    with pytest.raises(click.UsageError, match=message.replace("?", r"\?")) as caught:
        probe.main(arguments, standalone_mode=False)
    assert message in caught.value.format_message()


@pytest.mark.parametrize("flag", ["-h", "--help", "-help"])
def test_help_is_shown(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    settings = {"help_option_names": ["-h", "--help"]}
    command = GoCommand("probe", params=probe.params, context_settings=settings, help="Try flags.")
    command.main([flag], standalone_mode=False)
    assert "Try flags." in capsys.readouterr().out

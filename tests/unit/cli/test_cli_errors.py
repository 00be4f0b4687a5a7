"""What the command says when it is used wrongly: one readable block, exit code 2."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def test_an_error_is_one_block_without_a_traceback(run):
    """What, where and what to do; exit code 2."""
    result = run("explain", "helpdesk_app:Tickt")

    assert 2 == result.exit_code
    assert ["error[RK073]: helpdesk_app has no attribute 'Tickt'", "  where: helpdesk_app", "  do: Did you mean 'Ticket'?"] == (
        result.output.splitlines()
    )


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_traceback_can_be_asked_for(run, monkeypatch, way):
    """``--traceback`` and RESOURCEKIT_TRACEBACK=1 show the place; the exit code stays 2."""
    if way == "environment":
        monkeypatch.setenv("RESOURCEKIT_TRACEBACK", "1")
    result = run(*(["--traceback"] if way == "option" else []), "explain", "nowhere")

    assert 2 == result.exit_code
    assert "Traceback" in result.output
    assert "RK072" in result.output


def test_several_errors_come_together(run, folder):
    """All problems of a declaration are reported at once."""
    (folder / "wrong.py").write_text(
        "from __future__ import annotations\n"
        "from resourcekit import Attr, Resource, attribute, create, index\n"
        "class Ticket(Resource):\n"
        "    id: Attr[int] = attribute(primary_key=True)\n"
        "    submit = create(accept=['subject'])\n"
        "    recent = index('status')\n"
    )
    output = run("doctor", "wrong").output

    assert {"error[RK042]", "error[RK043]"} == {line.split(":")[0] for line in output.splitlines() if line.startswith("error")}
    assert "Ticket › actions › submit · wrong.py:5, declared by you" in output


@pytest.mark.parametrize("words", [["explain"], ["doctor", "a", "b"], ["nothing"], ["supervise", "x", "--stop-timeout", "-1"]])
def test_wrong_usage_is_exit_code_two(run, words):
    """Missing, superfluous and unknown words."""
    assert 2 == run(*words).exit_code


def test_settings_that_cannot_be_are_not_supervised(run, folder, monkeypatch):
    """They stay however often they are tried: reported at once, with their resource, and exit code 2."""
    monkeypatch.delenv("TICKETS_URL", raising=False)
    (folder / "unset.py").write_text(
        "from __future__ import annotations\n"
        "from datetime import timedelta\n"
        "from resourcekit import Attr, Domain, Resource, attribute, env\n"
        "from resourcekit.data_layers import SQL\n"
        "from resourcekit.extending import Extension, Service\n"
        "class Count(Service):\n"
        "    def interval(self, options): return timedelta(hours=1)\n"
        "    async def run(self, context): ...\n"
        "class Counted(Extension):\n"
        "    services = (Count,)\n"
        "tickets = Domain('unset')\n"
        "class Ticket(Resource, domain=tickets, data_layer=SQL(env('TICKETS_URL')), extensions=[Counted]):\n"
        "    id: Attr[int] = attribute(primary_key=True)\n"
    )
    result = run("supervise", "unset")

    assert 2 == result.exit_code
    assert "error[RK020]" in result.output
    assert "TICKETS_URL" in result.output
    assert "Ticket" in result.output
    assert "Supervising" not in result.output


def test_a_health_file_in_no_folder_is_wrong_usage(run):
    """Before anything is started."""
    result = run("supervise", "helpdesk_app", "--health-file", "nowhere/healthy")

    assert 2 == result.exit_code
    assert "there is no folder 'nowhere'; create it" in result.output


@pytest.mark.parametrize(
    ("app", "right"),
    [("./helpdesk_app", "helpdesk_app"), ("helpdesk_app.py", "helpdesk_app"), ("app/accounts.py:Token", "app.accounts:Token")],
)
def test_a_file_in_place_of_a_module_is_corrected(run, app, right):
    """As a shell completes it."""
    result = run("doctor", app)

    assert 2 == result.exit_code
    assert f'  do: Write "{right}".' in result.output.splitlines()


def test_an_attribute_that_is_a_text_is_not_imported(run, folder):
    """It may be the URL of a database, which is no module."""
    (folder / "texts.py").write_text("database = 'sqlite:///hunter2.db'\n")
    result = run("doctor", "texts:database")

    assert 2 == result.exit_code
    assert "error[RK073]: texts:database is a text, and no resource, domain or module" in result.output
    assert "hunter2" not in result.output


def test_nothing_to_supervise_is_exit_code_two(run, folder):
    """A module whose resources bring no service says what to write."""
    (folder / "plain.py").write_text(
        "from __future__ import annotations\n"
        "from resourcekit import Attr, Resource, attribute\n"
        "class Ticket(Resource):\n"
        "    id: Attr[int] = attribute(primary_key=True)\n"
    )
    result = run("supervise", "plain")

    assert 2 == result.exit_code
    assert "error[RK074]" in result.output


def test_python_dash_m_is_the_same_command(folder):
    """It finds a module of the current folder, in a real process whose output is a pipe."""
    command = [sys.executable, "-m", "resourcekit", "explain", "helpdesk_app:Ticket"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=folder)

    assert done.stdout.startswith("helpdesk_app.Ticket\n")


def test_a_pipe_that_cannot_show_a_sign_gets_another(folder):
    """Under an encoding without the middle dot the command does not fail."""
    command = [sys.executable, "-m", "resourcekit", "explain", "helpdesk_app:Ticket"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=folder, env=environment)

    assert (0, b"") == (done.returncode, done.stderr)

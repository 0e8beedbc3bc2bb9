"""Services' commands without a process for each: loading the code takes longer than most of what they do."""

import importlib
from subprocess import CompletedProcess

from typer.testing import CliRunner

from gongji_local.stack import Stack


def in_this_process(stack: Stack, service: str, *arguments: str) -> CompletedProcess[str]:
    """`python -m SERVICE ARGUMENTS`, told what the service of this stack is told; as `Stack.run_command` has it.

    To be called in a thread: a command has an event loop of its own. One of a kind is worth a process, too.
    """
    app = importlib.import_module(f"{service}.cli").app
    done = CliRunner().invoke(app, arguments, env=stack.environment(service))
    return CompletedProcess(arguments, done.exit_code, done.output)

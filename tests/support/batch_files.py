"""Enough of the Windows command interpreter to run our .bat files elsewhere, on programs a test makes up.

Anything a file uses beyond that is an error, so that nothing is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

Program = Callable[[list[str]], int]
NOT_FOUND = 9009


class _Goto(Exception):
    pass


class _Exit(Exception):
    pass


@dataclass
class BatchRun:
    """Runs a file as if it lay in `folder` (a Windows path) with `files` beside it (relative Windows paths)."""

    folder: str
    program: Program
    files: frozenset[str] = frozenset()
    arguments: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    shown: list[str] = field(default_factory=list)
    pauses: int = 0
    errorlevel: int = 0

    def run(self, text: str) -> int:
        """Returns the exit status."""
        lines = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
        at = 0
        try:
            while at < len(lines):
                try:
                    at = self._statement(lines, at)
                except _Goto as jump:
                    at = lines.index(f":{jump}") + 1
        except _Exit as end:
            return int(str(end))
        return self.errorlevel

    def _statement(self, lines: list[str], at: int) -> int:
        """Run what begins at line `at`; returns where the next begins."""
        line = self._expanded(lines[at])
        if not line or line.startswith((":", "rem ", "@echo off")):
            return at + 1
        if line.endswith("("):
            end = self._end_of_block(lines, at)
            # The interpreter reads a block as a whole and fills in variables then.
            block = [self._expanded(inner) for inner in lines[at + 1 : end]]
            self._block(line[:-1].strip(), block)
            return end + 1
        self._command(line)
        return at + 1

    def _block(self, head: str, block: list[str]) -> None:
        loop = re.fullmatch(r"for %%(\w) in \(([^)]*)\) do", head)
        if loop:
            for value in loop[2].split():
                self._lines([line.replace(f"%%{loop[1]}", value) for line in block])
        elif self._holds(head):
            self._lines(block)

    def _lines(self, lines: list[str]) -> None:
        at = 0
        while at < len(lines):
            at = self._statement(lines, at)

    @staticmethod
    def _end_of_block(lines: list[str], at: int) -> int:
        depth = 0
        for end in range(at, len(lines)):
            depth += lines[end].endswith("(") - (lines[end] == ")")
            if depth == 0:
                return end
        raise AssertionError(f"line {at + 1} opens a block that never ends")

    def _holds(self, condition: str) -> bool:
        found = re.fullmatch(r'if (not )?(?:errorlevel (\d+)|exist "([^"]+)")', condition)
        assert found, f"a condition this interpreter does not know: {condition}"
        is_so = self.errorlevel >= int(found[2]) if found[2] else found[3] in self.files
        return is_so != bool(found[1])

    def _command(self, line: str) -> None:
        if line.startswith("if "):
            condition, _, then = line.partition(" goto ")
            if self._holds(condition):
                raise _Goto(then)
            return
        bare = re.sub(r" ?2?>nul", "", line)
        word, _, rest = bare.partition(" ")
        if word == "goto":
            raise _Goto(rest)
        if word == "exit":
            assert rest.startswith("/b "), "a bare exit closes the user's window"
            raise _Exit(rest[3:])
        if word == "set":
            name, _, value = rest.strip('"').partition("=")
            self.variables[name] = value
        elif word == "echo" or word == "echo.":
            self.shown.append(rest)
        elif word == "pause":
            self.pauses += 1
        elif word in ("setlocal", "endlocal", "chcp"):
            pass
        elif word == "cd":
            assert rest == f'/d "{self.folder}\\"', rest
        else:
            tokens = [token.strip('"') for token in re.findall(r'"[^"]*"|\S+', bare)]
            self.errorlevel = self.program(tokens)

    def _expanded(self, line: str) -> str:
        line = line.replace("%~dp0", self.folder + "\\").replace("%*", self.arguments)
        return re.sub(r"(?<!%)%(\w+)%", lambda match: self.variables.get(match[1], ""), line)

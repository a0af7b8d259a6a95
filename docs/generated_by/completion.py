"""Completion for shells, as files to install; they ask the program itself, so also for names.

bash and zsh have scripts of our own: names of groups and members hold a colon, at which
bash breaks words and zsh's `_arguments` begins a description.  Of exclusions they may be
patterns, which bash must not take for its own: it gets them quoted.
"""

from __future__ import annotations

from typing import Any, Final

import typer.completion

_BASH: Final = """\
# {program}: completion for bash
_{name}() {{
    local line=${{COMP_LINE:0:COMP_POINT}} IFS=$' \\t\\n' current before= one
    local -a words found
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${{words[-1]}}
    mapfile -t found < <(COMP_WORDS="${{words[*]}}" COMP_CWORD=$((${{#words[@]}} - 1)) \\
        {variable}=complete_bash "$1" 2>/dev/null)
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && before=${{current%"${{current##*:}}"}}
    COMPREPLY=()
    for one in "${{found[@]}}"; do
        [[ $one ]] && printf -v one %q "${{one#"$before"}}" && COMPREPLY+=("$one")
    done
}}
complete -o default -F _{name} {program}
"""
_ZSH: Final = """\
#compdef {program}
local -a found
found=(${{(f)"$(COMP_WORDS="${{(j: :)words[1,CURRENT]}}" COMP_CWORD=$((CURRENT - 1)) \\
    {variable}=complete_bash {program} 2>/dev/null)"}})
if (( $#found )); then compadd -a found; else _files; fi
"""
_TEMPLATES: Final = {"bash": _BASH, "zsh": _ZSH}


def completion(program: str, shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    name = program.replace("-", "_")
    variable = f"_{name.upper()}_COMPLETE"
    if shell in _TEMPLATES:
        return _TEMPLATES[shell].format(program=program, name=name, variable=variable)
    make: Any = vars(typer.completion)["get_completion_script"]
    return f"{make(prog_name=program, complete_var=variable, shell=shell).strip()}\n"

# gcks-member: completion for bash
_gcks_member() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n' current before
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    IFS=$'\n'
    COMPREPLY=($(IFS=' '; COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \
        _GCKS_MEMBER_COMPLETE=complete_bash "$1" 2>/dev/null))
    if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
        before=${current%"${current##*:}"}
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -o default -F _gcks_member gcks-member

# gcks-member: completion for bash
_gcks_member() {
    local line=${COMP_LINE:0:COMP_POINT} IFS=$' \t\n' current before= one
    local -a words found
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current=${words[-1]}
    mapfile -t found < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) \
        _GCKS_MEMBER_COMPLETE=complete_bash "$1" 2>/dev/null)
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && before=${current%"${current##*:}"}
    COMPREPLY=()
    for one in "${found[@]}"; do
        [[ $one ]] && printf -v one %q "${one#"$before"}" && COMPREPLY+=("$one")
    done
}
complete -o default -F _gcks_member gcks-member

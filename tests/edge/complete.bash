# usage: complete.bash SCRIPT LINE: what bash offers after LINE
source "$1"
COMP_LINE=$2 COMP_POINT=${#2}
_gcks gcks
printf '%s\n' "${COMPREPLY[@]}"

# usage: complete.bash SCRIPT PROGRAM LINE: what bash offers after LINE
source "$1"
COMP_LINE=$3 COMP_POINT=${#3}
"_${2//-/_}" "$2"
printf '%s\n' "${COMPREPLY[@]}"

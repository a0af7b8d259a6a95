# usage: complete.zsh DIRECTORY LINE: what an interactive zsh makes of LINE and TAB
zmodload zsh/zpty
zpty -b shell zsh -f -i
zpty -w shell "PS1=''; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; bindkey '^I' complete-word; print REA''DY"
zpty -r shell ready '*READY*'
zpty -n -w shell "$2"$'\t'
for try in {1..50}; do
    sleep 0.2
    while zpty -r -t shell line; do got+=$line; done
    [[ $got == *$3* ]] && break
done
print -r -- "$got"

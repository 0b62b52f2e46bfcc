#!/bin/sh
# Serves an example: starts the echo servers that the comments of its backends.yaml name, prints the commands of its README that ask
# something, and runs the gateway, with low ports mapped to 8080, 8443 and 8053, until ^C. Everything ends together.
# Usage: sh examples/serve.sh examples/quickstart [flags of wicketgate run]
set -eu

example=$1
shift
wicketgate=${WICKETGATE:-bin/wicketgate}

pids=
finish() {
	trap - EXIT INT TERM
	for pid in $pids; do kill "$pid" 2>/dev/null || true; done
	wait
}
# A terminal sends ^C to the gateway as well, and a second signal would break off its requests: so it gets a moment to end by itself.
interrupted() {
	trap '' INT
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 "${gateway:-$$}" 2>/dev/null || break
		sleep 0.1
	done
	exit 0
}
trap finish EXIT
trap interrupted INT
trap 'exit 143' TERM

# The lines hold no quotes: words are words.
lines=$(sed -n 's/^# wicketgate echo /echo /p' "$example/backends.yaml")
while read -r line; do
	# shellcheck disable=SC2086 # to be split
	"$wicketgate" $line &
	pids="$pids $!"
done <<LINES
$lines
LINES

printf '\nTry, in another terminal (^C here ends everything):\n\n'
sed -n -e 's/^    curl /  curl /p' -e 's/^    echo /  echo /p' -e 's/^    (echo /  (echo /p' "$example/README.md"
printf '\n'

case " $* " in
*" --port-map"*) ;;
*) set -- --port-map 80=8080,443=8443,53=8053 "$@" ;;
esac
# What is served: the directory, or what the example's flags say, whose paths begin in the directory.
if [ -f "$example/flags" ]; then
	# shellcheck disable=SC2046 # to be split
	set -- $(sed "s|--config |&$example/|g" "$example/flags") "$@"
else
	set -- --config "$example" "$@"
fi
"$wicketgate" run "$@" &
gateway=$!
pids="$pids $gateway"
wait "$gateway"

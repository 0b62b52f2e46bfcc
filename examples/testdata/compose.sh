#!/bin/sh
# Runs examples/compose as its README says, on the Docker engine that is there, or on one of its own. Prints what the README promises.
# Usage, at the root of the repository: sh examples/testdata/compose.sh WORK (an empty directory)
set -eu
work=$1

if ! docker info >/dev/null 2>&1; then
	# An engine of our own in namespaces of our own: it touches neither the machine's networks nor its firewall.
	if [ "${2:-}" != inside ]; then
		exec unshare --net --mount sh "$0" "$work" inside
	fi
	ip link set lo up
	export DOCKER_HOST="unix://$work/docker.sock"
	dockerd --host "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/docker.pid" --storage-driver vfs \
		>"$work/dockerd.log" 2>&1 &
	engine=$!
	tries=0
	until docker info >/dev/null 2>&1; do
		tries=$((tries + 1))
		if [ $tries -gt 60 ]; then
			cat "$work/dockerd.log"
			exit 1
		fi
		sleep 0.5
	done
fi

finish() {
	docker-compose -f "$work/compose/compose.yaml" down --volumes --timeout 3 >"$work/down.log" 2>&1 || cat "$work/down.log"
	if [ -n "${engine:-}" ]; then
		kill "$engine"
		wait "$engine" || true
	fi
}
trap finish EXIT
cp -r examples/compose "$work/compose"
make -s image
echo "compressed: $(docker save wicketgate | gzip | wc -c) bytes"
echo "user: $(docker image inspect --format '{{.Config.User}}' wicketgate)"
cd "$work/compose"

# until_prints WORD COMMAND... repeats a command until it prints a word.
until_prints() {
	word=$1
	shift
	tries=0
	until "$@" 2>/dev/null | grep -q "$word"; do
		tries=$((tries + 1))
		if [ $tries -gt 120 ]; then
			echo "waited in vain until '$*' prints $word"
			docker-compose logs
			exit 1
		fi
		sleep 0.5
	done
}
docker-compose up --detach 2>"$work/up.log" || { cat "$work/up.log"; exit 1; }
until_prints '"shop"' curl -s --max-time 10 http://localhost:8080/
until_prints '"cart"' curl -s --max-time 10 http://localhost:8080/cart
echo "both services answer by their names"
docker-compose exec -T gateway /wicketgate get gateways,httproutes
sed -i 's/value: .cart/value: \/basket/' gateway/routes.yaml
until_prints '"cart"' curl -s --max-time 10 http://localhost:8080/basket
echo "an edit on the host is served"
until_prints healthy docker inspect --format '{{.State.Health.Status}}' "$(docker-compose ps -q gateway)"
echo "the gateway is healthy"
docker-compose kill -s SIGTERM gateway 2>/dev/null
until_prints '"msg":"stopped"' docker-compose logs gateway
echo "it stops when it is told to"

#!/usr/bin/env bash
# What is taken in from others: licences, sources, crates that are banned, and advisories as far as they can be had; deny.toml
# says what may be. Installs cargo-deny into target/tools where it is missing.
#
#   tests/supply-chain.sh          checks
#   tests/supply-chain.sh sbom     writes a bill of materials of each program (CycloneDX, JSON) into target/sbom
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
PATH=$tools/bin:$PATH

# Without what talks to other version controls, and unoptimised: it is run once.
install() { # program, version, more
    mkdir -p "$tools"
    [ "$("$1" --version 2>/dev/null)" = "$1 $3" ] || cargo install --quiet --locked --debug --root "$tools" "$@"
}

if [ "${1:-check}" = sbom ]; then
    install cargo-cyclonedx --version 0.5.9
    rm -rf target/sbom
    mkdir -p target/sbom
    cargo cyclonedx --format json --describe binaries --target x86_64-unknown-linux-gnu
    find api workers compose -name '*.cdx.json' -exec mv -t target/sbom {} +
    find shared tests -name '*.cdx.json' -delete
    ls target/sbom
    exit
fi

install cargo-deny --version 0.20.2 --no-default-features
cargo deny --locked --offline check bans licenses sources
# The advisories are kept on GitHub, which not every machine reaches.
if cargo deny --locked fetch db >"$tools/fetch" 2>&1; then
    cargo deny --locked check --disable-fetch advisories
else
    echo "tests/supply-chain.sh: the advisories could not be had, and were not checked:" >&2
    tail -3 "$tools/fetch" >&2
fi

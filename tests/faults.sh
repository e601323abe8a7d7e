#!/usr/bin/env bash
# Breaks a safeguard of the panel, one after the other, and shows that a test falls each time, and stands without.
#
#   tests/faults.sh
#
# Needs what tests/run.sh brings.
set -euo pipefail
cd "$(dirname "$0")/.."

SQLX_OFFLINE=true cargo test --quiet --locked -p painel-tests --features planted-bugs --test it --no-run
export SQLX_OFFLINE=true
# The safeguard, and the test that must see that it is missing.
for pair in \
    'no-role-check panel::pages::every_page_answers_each_role_as_it_should' \
    'no-origin-check panel::forms::a_form_is_taken_from_a_page_of_the_panel_alone'; do
    read -r bug test <<<"$pair"
    run() {
        PLANTED_BUG=$1 cargo test --quiet --locked -p painel-tests --features planted-bugs --test it -- --exact "$test" >/dev/null 2>&1
    }
    if ! run none; then echo "$test fails by itself" >&2 && exit 1; fi
    if run "$bug"; then echo "$test does not see $bug" >&2 && exit 1; fi
    echo "$bug: $test falls"
done

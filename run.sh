#!/usr/bin/env bash
# ./run.sh         set up (once), then the main job: ICQ-MA and BC-MA on recorded battles
# ./run.sh test    set up (once), then the tests
# ./run.sh check   ruff and pyright
# SEED=2 ./run.sh  another seed;  PYTHON=/path/to/python3.11 ./run.sh  another Python
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

find_python() {
    local python
    for python in "${PYTHON:-}" python3.11 python3.12 python3; do
        if [ -n "$python" ] && "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            echo "$python"
            return
        fi
    done
    echo "run.sh needs Python 3.11 or later with venv and pip; install it (Debian: python3.11-venv) or set PYTHON=/path/to/python3.11" >&2
    return 1
}

# setup EXTRAS: make .venv and install what pyproject.toml and constraints.txt say, unless done.
# It must not stand left of && or ||, where bash would go on after an error.
setup() {
    local wanted python stamp=.venv/.installed
    exec 9> .setup.lock
    if command -v flock > /dev/null; then flock 9; fi
    wanted="$(cat pyproject.toml constraints.txt | cksum) "
    if ! grep -qsF -e "$wanted$1" -e "${wanted}smax,d4rl,dev" "$stamp"; then
        echo "Setting up .venv (once; a few minutes)..."
        if ! .venv/bin/python -m pip --version > /dev/null 2>&1; then
            python=$(find_python)
            rm -rf .venv
            "$python" -m venv .venv
        fi
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$1]"
        echo "$wanted$1" > "$stamp"
    fi
    exec 9>&-
}

run() {
    .venv/bin/python src/main.py "$@"
}

main_job() {
    local seed=${SEED:-1} out background
    out="results/first_run/$(date +%Y-%m-%d_%H-%M-%S)_seed$seed"
    local common=(--env-config=smax with "seed=$seed" dataset_quality=medium "local_results_path=$out")
    mkdir -p "$out"
    echo "Learning from recorded battles (SMAX 3s_vs_3z, level medium), seed $seed."
    echo "BC-MA learns in the background ($out/bc.log), ICQ-MA in front:"
    set -m # a process group of its own, so that all of it ends with this script
    {
        run --config=script --env-config=smax with "seed=$seed" "local_results_path=$out" \
            test_nepisode=512 && run --config=bc "${common[@]}"
    } > "$out/bc.log" 2>&1 &
    background=$!
    set +m
    # shellcheck disable=SC2064 # expanded now, since the trap runs outside this function
    trap "kill -- -$background 2> /dev/null || true" EXIT
    run --config=icq "${common[@]}"
    echo "Waiting for BC-MA..."
    if ! wait "$background"; then
        tail -n 5 "$out/bc.log" >&2
        return 1
    fi
    trap - EXIT
    echo
    .venv/bin/python src/report.py "$out" --csv "$out/table.csv" --picture "$out/curves.png"
    cat << END

Learning curves   $out/curves.png
Numbers           $out/metrics/*.csv, the table's rows in $out/table.csv
Sacred records    $out/sacred, checkpoints in $out/models
Try next          .venv/bin/python src/main.py --config=icq --env-config=smax with env_args.map_name=2s3z dataset_quality=medium
                  .venv/bin/python src/dataset.py inspect offline_data/smax/3s_vs_3z/medium.h5
END
}

case "${1:-main}" in
    main)
        setup smax
        main_job
        ;;
    test)
        setup smax,d4rl,dev
        .venv/bin/python -m pytest -n 2 --dist loadfile "${@:2}"
        ;;
    check)
        setup smax,d4rl,dev
        .venv/bin/ruff check .
        .venv/bin/ruff format --check .
        .venv/bin/pyright
        ;;
    *)
        sed -n '2,5s/^# //p' run.sh
        exit 2
        ;;
esac

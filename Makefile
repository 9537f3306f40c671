# make run     set up, paint the first picture, then execute the course and build the site from it (its solutions: `make test`)
# make site    set up, then build the site from the outputs that are stored in the notebooks
# make lab     set up, then open the notebooks in JupyterLab
# make studio  set up, then open the studio in a browser. It listens on this machine only (127.0.0.1, in voila.json);
#              whoever reaches it needs no password, and can keep all its processors and memory busy
# make test    set up, then run all tests with their coverage, and compare the notebooks' outputs
# make test-torch   set up with PyTorch, then test the benchmark's row that needs it
# make fuzz    set up, then try to load 10 000 damaged image files, and 1000 sets of arguments
# make soak    set up, then paint 100 small pictures in one process: does its memory grow?
# make mutants   set up, then change the formulas, the descent and the reading of pictures in some 700 ways, one by one:
#                do the tests notice? (hours)
# make bench   set up with PyTorch, then measure this package beside three recipes that people use (an hour)
# make bench-quick   the same in five minutes: less of everything
# make lint    check style and format of the code
# make gallery   paint the pictures of the README and of notebook 1 again (half an hour)
# make poster    paint the README's large picture again, 2048 pixels wide (some twenty minutes)
# make notebooks   execute the notebooks in place and store their outputs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PICTURE := build/summer_palace_great_wave.png
SPHINX := $(BIN)/python -m sphinx -q -E -W --keep-going -c docs -d build/doctrees
NOTEBOOKS := $(sort $(wildcard notebooks/0*.ipynb notebooks/solutions/0*.ipynb))

.PHONY: run site lab studio test test-torch fuzz soak mutants bench bench-quick lint gallery poster notebooks clean
run: $(VENV)/installed
	@mkdir -p build
	$(BIN)/nst-keras summer_palace great_wave -o $(PICTURE) --overwrite
	$(BIN)/python notebooks/build.py build/notebooks
	$(SPHINX) -D outputs=build . build/site
	@echo "Open build/site/index.html in a browser."

site: $(VENV)/installed
	$(SPHINX) . build/site
	@echo "Open build/site/index.html in a browser."

lab: $(VENV)/installed
	$(BIN)/jupyter lab notebooks

# voila.json says: files of up to 500 MB come through; the page may ask no other machine for anything; a kernel that
# nobody looks at ends after ten minutes. A page that is closed ends its own at once, but Voilà says so without the token
# that Jupyter wants to see, so it must not ask for one. Only a kernel whose random name is known can be ended that way.
studio: $(VENV)/installed
	$(BIN)/python -m voila notebooks/studio.ipynb

# The tests use one core and a bit: two processes take 0.6 of the time. What the tests of a file share is made once. A
# notebook uses two cores by itself.
test: $(VENV)/installed
	$(BIN)/python -m pytest --cov --numprocesses=2 --dist=loadfile
	$(BIN)/python -m pytest --nbval $(NOTEBOOKS)

test-torch: $(VENV)/torch
	$(BIN)/python -m pytest -m torch

fuzz: $(VENV)/installed
	FUZZ_FILES=10000 FUZZ_RUNS=1000 $(BIN)/python -m pytest tests/test_fuzz.py

soak: $(VENV)/installed
	$(BIN)/python tests/soak.py

# In a copy, because the tool writes its mutants into the files. With CI=true Hypothesis draws the same examples each time.
mutants: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check cosmic-ray==8.7.0
	rm -rf build/mutants
	mkdir -p build/mutants
	cp -r nst_keras tests data pyproject.toml build/mutants
	cd build/mutants && export CI=true PATH="$(CURDIR)/$(BIN):$$PATH" && \
	cosmic-ray init tests/mutants.toml mutants.sqlite && \
	cr-filter-operators mutants.sqlite tests/mutants.toml && \
	cosmic-ray baseline tests/mutants.toml && \
	cosmic-ray exec tests/mutants.toml mutants.sqlite && \
	python tests/mutants.py

bench: $(VENV)/torch
	$(BIN)/python tests/benchmarks/bench.py build/benchmarks

bench-quick: $(VENV)/torch
	$(BIN)/python tests/benchmarks/bench.py build/benchmarks --quick

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

gallery: $(VENV)/installed
	$(BIN)/python notebooks/gallery.py build/gallery

poster: $(VENV)/installed
	$(BIN)/python notebooks/gallery.py build/gallery poster

notebooks: $(VENV)/installed
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace --ExecutePreprocessor.record_timing=False $(NOTEBOOKS)

$(VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(VENV)/torch: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

clean:
	rm -rf $(VENV) build

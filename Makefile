# make run     set up, then paint the first picture
# make test    set up, then run all tests
# make lint    check style and format of the code
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint clean
run: $(VENV)/installed
	@mkdir -p build
	$(BIN)/nst-keras summer_palace great_wave -o build/summer_palace_great_wave.png --overwrite

test: $(VENV)/installed
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(VENV)/installed: requirements.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

clean:
	rm -rf $(VENV) build

# SPDX-License-Identifier: Apache-2.0
MAKEFLAGS += --no-print-directory
PYTHON := python3
BIN := .venv/bin
UV := $(BIN)/uv
LOCKED := pyproject.toml uv.lock
BASE := .venv/base.stamp
FULL := .venv/full.stamp

export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV

.PHONY: help ask test setup lint format lock studio chromium sdk-1x clean

help:
	@echo "make ask     ask War and Peace (DEPTH=0.5 where the fact is planted, NEEDLE='the fact')"
	@echo "make test    lint, type check, tests: what CI runs"
	@echo "make setup   .venv with everything locked in uv.lock"
	@echo "make lint    ruff check, ruff format --check, ty check"
	@echo "make format  let ruff mend and format the code"
	@echo "make lock    bring uv.lock up to date with pyproject.toml"
	@echo "make studio  build the page of pollux serve; needs Node.js"
	@echo "make sdk-1x  the API's tests with the 1.x line of google-genai"
	@echo "make clean   remove .venv, caches and builds"

# A stamp is written last, so a set-up that was cut off is simply done again.
# .venv is made anew unless its Python is the python3 of today and its uv runs.
define prepare
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	{ echo "pollux: needs Python 3.11 or newer, but $(PYTHON) is" \
	"$$($(PYTHON) --version 2>/dev/null || echo not found): install it, or say make PYTHON=..." >&2; exit 1; }
@identity='import sys; print(sys.version)'; \
if [ "$$($(BIN)/python -c "$$identity" 2>/dev/null)" != "$$($(PYTHON) -c "$$identity")" ] || \
	! $(UV) --version >/dev/null 2>&1; then \
	$(PYTHON) -m venv --clear .venv && $(BIN)/python -m pip install --quiet 'uv>=0.9'; \
fi
endef

# --inexact: whatever else is installed stays.
$(BASE): $(LOCKED)
	$(prepare)
	$(UV) sync --locked --inexact
	@touch $@

$(FULL): $(LOCKED)
	$(prepare)
	$(UV) sync --locked --all-extras
	@touch $(BASE) $@

setup: $(FULL)

# The shell, not make, reads DEPTH and NEEDLE, so quotes in them do no harm.
ask: $(BASE)
	@$(BIN)/python -m pollux.demo $${DEPTH:+--depth "$$DEPTH"} $${NEEDLE:+--needle "$$NEEDLE"}

test: lint chromium
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The Studio is tested in a browser, which PyPI does not have.
chromium:
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	apt-get update -qq >/dev/null && apt-get install -y -qq chromium fonts-noto-cjk >/dev/null; } || \
	echo "pollux: no chromium, so the tests of the Studio are skipped: install it to run them"

studio:
	cd studio && npm ci && npm run check && npm run build

# The lock has the newest line; this one goes into an environment of its own.
sdk-1x: $(FULL)
	$(UV) run --no-sync --with 'google-genai<2' python -m pytest -q $(addprefix \
		tests/serve/test_,$(addsuffix .py,generate files caches batches gate safety))

lint: $(FULL)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/ty check

format: $(FULL)
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

lock:
	$(prepare)
	$(UV) lock

clean:
	rm -rf .venv .hypothesis .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

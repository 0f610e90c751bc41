"""Adapters to other people's libraries, each run for real in the environment that its YAML names.

The environments are made in the cache of the user, once, from the package index that pip or uv
knows; where they cannot be made the tests skip and say why.
"""

import os
import subprocess

import numpy as np
import pytest

from syntharena.bench import check, config, probes, targets
from syntharena.bench.contracts import Budget
from syntharena.bench.foreign import making, servers
from syntharena.bench.foreign.spec import Environment, resolve
from syntharena.bench.plan import Folders
from syntharena.bench.running.worker import Worker

pytestmark = pytest.mark.slow

# As they are when the tests are collected: what other tests set is for their own wheels.
INSTALLERS = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_"))}
OPTIONS = {
    group: {
        name: spec
        for name, spec in config.all_options(group, preset="smoke", nested=True).items()
        if "environment" in spec
    }
    for group in ("generator", "evaluator")
}
WITHOUT_WEIGHTS = ("be_great/great",)
HARDLY_TRAINED = ("synthcity/pategan",)  # at the preset smoke: .381
# Those that hand back a ledger, and those that are refused at a finite epsilon: all others.
STATE_THEIR_LOSS = ("dpmm/aim", "dpmm/mst", "opendp/aim", "opendp/mst")
# A model and a network of each large library, on all kinds of columns, with what they cannot do.
CHECKED = {
    "sdv/gaussian_copula": set(),
    "sdv/tvae": {"one row of training data"},  # its mixtures ask for two
    "synthcity/bayesian_network": {"one row of training data"},  # it drops the constant columns
    "synthcity/ddpm": set(),
}
TINY_MODEL = """\
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
letters = sorted(pre_tokenizers.ByteLevel.alphabet())
words = {word: code for code, word in enumerate(["<|endoftext|>", *letters])}
tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
end = "<|endoftext|>"
fast = PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, bos_token=end, eos_token=end, unk_token=end, pad_token=end
)
fast.save_pretrained(sys.argv[1])
GPT2LMHeadModel(
    GPT2Config(vocab_size=len(words), n_positions=128, n_embd=64, n_layer=2, n_head=2)
).save_pretrained(sys.argv[1])
"""


@pytest.fixture(scope="session")
def cache():
    """Return the user's cache, pip and uv being set up as they were before the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("PIP_", "UV_"))]:
            patch.delenv(name)
        for name, value in INSTALLERS.items():
            patch.setenv(name, value)
        making._pip_is_configured.cache_clear()
        yield Folders.of({"results": None, "data": None, "cache": None}).cache
    making._pip_is_configured.cache_clear()


@pytest.fixture
def settled(cache):
    """Return a function that makes a specification's environment and starts its server."""

    def make(spec):
        spec = resolve(spec)
        try:
            servers.start(servers.prepare([spec], cache))
        except making.EnvironmentUnavailable as error:
            pytest.skip(str(error))
        return spec

    yield make
    servers.leave()


@pytest.fixture
def run(store, make_cell, settled, cache):
    """Return a function that runs a generator on the toy table and returns its record."""

    def call(name, *, budget=None, evaluators=None, **changes):
        spec = settled(OPTIONS["generator"][name] | changes)
        fields = {} if evaluators is None else {"evaluators": evaluators}
        cell = make_cell(spec, budget=budget, limits={"seconds": 900}, **fields)
        return Worker(store, None, cache).run(cell)

    return call


@pytest.mark.parametrize("name", OPTIONS["generator"])
def test_it_draws_rows_that_resemble_the_table(run, name):
    record = run(name)
    if name in WITHOUT_WEIGHTS:
        assert record["status"] == "skipped"
        assert "needs the folder of a pretrained language model" in record["reason"]
        return
    assert (record["status"], record["reason"]) == ("ok", "")
    assert record["metrics"]["shape_score"] > (0.3 if name in HARDLY_TRAINED else 0.4)
    assert record["environment"]["foreign"]["generator"]["packages"]


@pytest.mark.parametrize("name", OPTIONS["generator"])
def test_a_finite_epsilon_is_accounted_for_or_refused(run, name):
    record = run(name, budget=Budget(1.0, 1e-5))
    if name in STATE_THEIR_LOSS:
        assert (record["status"], record["reason"]) == ("ok", "")
        assert 0.98 < record["privacy"]["spent_epsilon"] <= 1
        assert record["privacy"]["ledger"]
    else:
        assert record["status"] == "skipped"
        assert record["reason"]


@pytest.mark.parametrize("name", CHECKED)
def test_it_keeps_the_contract_on_tables_of_all_kinds(settled, name):
    findings = list(check.generator(settled(OPTIONS["generator"][name]), seconds=300))
    assert {f.name for f in findings if f.outcome == "fail"} == CHECKED[name]
    assert sum(f.outcome == "pass" for f in findings) >= 5


@pytest.mark.parametrize("name", ["sdv/ctgan", "synthcity/tvae", "smartnoise/mst", "opendp/mst"])
def test_more_columns_than_a_toy_has(store, make_cell, settled, cache, name):
    """As many as german_credit, where sums of many shares of a budget are rounded up."""
    dataset = config.all_options("dataset")["german_credit"]
    cell = make_cell(settled(OPTIONS["generator"][name]), dataset=dataset, limits={"seconds": 1800})
    record = Worker(store, None, cache).run(cell)
    assert (record["status"], record["reason"]) == ("ok", "")


def test_a_language_model_is_taught_from_a_local_folder(settled, cache, tmp_path):
    """A model of random weights learns rows of two columns; none is downloaded."""
    spec = settled(OPTIONS["generator"]["be_great/great"])
    python = making.python_of(Environment.of(spec), cache)
    weights = tmp_path / "weights"
    subprocess.run([python, "-c", TINY_MODEL, str(weights)], check=True)
    schema = probes.schemas()["discrete"]
    train = probes.table(schema, 200, np.random.default_rng(0))
    arguments = {"epochs": 30, "batch_size": 20, "learning_rate": 3e-3}
    model = targets.build(
        {**spec, "weights": str(weights), "arguments": arguments}, ("fit", "sample")
    )
    model.fit(train, schema=schema, budget=Budget(), rng=np.random.default_rng(1))
    rows = model.sample(50, rng=np.random.default_rng(2))
    assert schema.problems(rows) == []
    assert rows.nunique().min() > 1

"""The scheduling pass and the graph of banks."""

import networkx as nx
import pytest

from lightloom.compiler.passes.schedule import dependency_graph, schedule
from lightloom.runtime import targets
from lightloom.runtime.errors import CompileError, InputError
from lightloom.runtime.pricing.energy import energy
from lightloom.runtime.program import StepCost

from ...runtime.bodies import bank, host, matrix, program

TARGET = targets.get("mzi16")


def diamond():
    """x -> a -> relu -> b, relu -> c, b + c -> d: a residual block with one host op on each path."""
    sizes = {"a": (16, 16), "b": (16, 40), "c": (32, 16), "d": (16, 16)}
    steps = [
        matrix("a", "wa", "x"),
        host("relu", "a"),
        matrix("b", "wb", "relu"),
        matrix("c", "wc", "relu"),
        host("add", "b", "c"),
        matrix("d", "wd", "add", bias="k"),
    ]
    costs = {name: StepCost(rows * cols * 2, 2, rows * 2) for name, (rows, cols) in sizes.items()}
    costs |= {"relu": StepCost(0, 0, 32), "add": StepCost(0, 0, 32)}
    banks = [bank(f"w{name}", TARGET, *size) for name, size in sizes.items()]
    return program(TARGET, banks, steps, costs)


BODY = diamond()


def test_the_pass_gives_a_checked_schedule():
    found = schedule(BODY, 3)
    found.verify(BODY)
    assert found.batch == 3
    assert found.lower_bound_s <= found.makespan_s


def test_the_pass_refuses_an_empty_batch():
    with pytest.raises(InputError, match="a schedule needs a batch"):
        schedule(BODY, 0)


def test_banks_are_joined_through_host_ops():
    graph = dependency_graph(BODY)
    assert isinstance(graph, nx.DiGraph)
    assert set(graph.edges) == {("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")}
    assert graph.nodes["b"]["tiles"] == 3
    assert graph.nodes["b"]["bank"] == "wb"
    assert graph.nodes["c"]["utilization"] == 1.0
    assert graph.nodes["d"]["path"] == "path.d"
    assert sum(nx.get_node_attributes(graph, "macs").values()) == 2 * (256 + 640 + 512 + 256)


def test_steps_include_the_host():
    graph = dependency_graph(BODY, level="step")
    assert next(iter(nx.topological_sort(graph))) == "a"
    assert graph.nodes["relu"]["kind"] == "host"
    assert set(graph.edges) == {
        ("a", "relu"), ("relu", "b"), ("relu", "c"), ("b", "add"), ("c", "add"), ("add", "d"),
    }  # fmt: skip


def test_tiles_stand_between_the_inputs_and_the_sum():
    graph = dependency_graph(BODY, level="tile")
    tiles = [name for name, kind in graph.nodes(data="kind") if kind == "tile"]
    assert len(tiles) == 1 + 3 + 2 + 1
    assert set(graph.predecessors("b")) == {"b[0,0,0]", "b[0,0,1]", "b[0,0,2]"}
    assert set(graph.predecessors("b[0,0,2]")) == {"relu"}
    assert graph.nodes["b[0,0,2]"]["macs"] == 2 * 16 * 8
    for name in "abcd":
        macs = sum(graph.nodes[tile]["macs"] for tile in graph.predecessors(name))
        assert macs == graph.nodes[name]["macs"]


def test_nodes_carry_times_and_energy():
    found = schedule(BODY, 2)
    joules = energy(BODY, found)
    graph = dependency_graph(BODY, found, joules, level="tile")
    assert nx.is_directed_acyclic_graph(graph)
    for source, reader in graph.edges:
        if graph.nodes[reader]["kind"] == "matrix":
            assert graph.nodes[source]["end_s"] <= graph.nodes[reader]["end_s"]
        else:
            assert graph.nodes[source]["end_s"] <= graph.nodes[reader]["start_s"]
    steps = sum(value for _, value in graph.nodes(data="energy_j") if value is not None)
    assert steps + joules.run.by_row()["idle"] == pytest.approx(joules.total_j)
    assert {graph.nodes[name]["core"] for name in graph if "[" in name} <= set(range(4))


def test_an_unknown_level_is_refused():
    with pytest.raises(CompileError, match="unknown graph level; got 'tiles'; allowed: bank, step, tile"):
        dependency_graph(BODY, level="tiles")  # type: ignore[arg-type]

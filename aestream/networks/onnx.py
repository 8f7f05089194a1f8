"""A trained network as an ONNX graph, for whatever else can run one. Needs the extra `onnx`."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from aestream.networks.base import TrainedNetwork
from aestream.networks.dense import TrainedDense
from aestream.types import Floats

# Old enough for the run times of the last years.
OPSET, FORMAT = 17, 8
INPUTS, LATENT, RECONSTRUCTION = "inputs", "latent", "reconstruction"


def graph_of(network: TrainedNetwork) -> bytes:
    """The content of an ONNX file: `inputs` (B, d + c) to `latent` (M, B, k) and `reconstruction` (M, B, d)."""
    graph = _Graph()
    if isinstance(network, TrainedDense):
        into, code, back, out = network.layers
        latent = graph.layers(INPUTS, into, code)
        rebuilt = graph.layers(latent, back, out)
    else:
        latent = _half(graph, network, INPUTS, "encoder", "into")
        rebuilt = _half(graph, network, latent, "decoder", "back")
    ends = ((latent, LATENT, network.latent_size), (rebuilt, RECONSTRUCTION, network.features))
    for value, name, _ in ends:
        graph.node("Identity", value, name=name)
    float32 = onnx.TensorProto.FLOAT
    given = helper.make_tensor_value_info(INPUTS, float32, ["records", network.features + network.context])
    made = [helper.make_tensor_value_info(name, float32, [network.members, "records", size]) for _, name, size in ends]
    model = helper.make_model(
        helper.make_graph(graph.nodes, f"aestream_{network.kind}", [given], made, graph.weights),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=FORMAT,
        producer_name="aestream",
    )
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _half(graph: _Graph, network: TrainedNetwork, value: str, half: str, beside: str) -> str:
    """The encoder or the decoder of a network with a linear map beside each."""
    own = network.weights
    layers = [(own[f"{half}.weights.{i}"], own[f"{half}.biases.{i}"]) for i in range(3)]
    return graph.node("Add", graph.layers(value, *layers), graph.node("MatMul", value, graph.weight(own[beside])))


class _Graph:
    """The nodes and the weights so far. What a node makes has a name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def node(self, kind: str, *values: str, name: str = "") -> str:
        """Add an operation on values; return the name of what it makes."""
        made = name or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, values, [made]))
        return made

    def weight(self, array: Floats) -> str:
        """Add a constant; return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def layers(self, value: str, *layers: tuple[Floats, Floats]) -> str:
        """Add dense layers with ReLU between them."""
        for place, (weight, bias) in enumerate(layers):
            value = self.node("Relu", value) if place else value
            value = self.node("Add", self.node("MatMul", value, self.weight(weight)), self.weight(bias))
        return value

//! Fusion: removes operations that do nothing, and merges operations into the one before them.

use crate::graph::{Graph, Mode, Node, Op, Origin, Value};
use conv1d::{Activation, Residual};

impl Graph {
    /// The graph that is run: the same function in fewer passes over memory. In evaluation without gradients, batch
    /// normalisation is folded into the weights of the convolution before it.
    pub(crate) fn fused(&self, mode: Mode, gradients: bool) -> Graph {
        let mut graph = self.apart(mode);
        graph.fuse_activations();
        graph.fuse_dropout_into_sums();
        if mode == Mode::Evaluation && !gradients {
            graph.fold_batch_norms();
        }
        graph.fuse_sums_into_convolutions();
        graph
    }

    /// The graph without fusion. In evaluation, operations that do nothing are removed.
    pub(crate) fn apart(&self, mode: Mode) -> Graph {
        let mut graph = self.clone();
        if mode == Mode::Evaluation {
            graph.drop_nothing();
        }
        graph.compute_output();
        graph
    }

    /// Makes an operation compute the output, even if it equals the input or a parameter.
    fn compute_output(&mut self) {
        if self.origins[self.output.0] != Origin::Node {
            let op = Op::Pointwise { dropout: None, add: false, activation: Activation::Identity };
            let node = self.computed(String::new(), op, vec![self.output]);
            self.output = node.output;
            self.nodes.push(node);
        }
    }

    /// Removes dropout, and operations that do nothing.
    fn drop_nothing(&mut self) {
        for node in &mut self.nodes {
            if let Op::Pointwise { dropout, .. } = &mut node.op {
                *dropout = None;
            }
        }
        let nothing = Op::Pointwise { dropout: None, add: false, activation: Activation::Identity };
        while let Some(index) = self.nodes.iter().position(|node| node.op == nothing) {
            let node = self.nodes.remove(index);
            self.rename(node.output, node.inputs[0]);
        }
    }

    /// Fuses an activation into the operation before it, if nothing else uses the activation's input.
    fn fuse_activations(&mut self) {
        let mut index = 0;
        while index < self.nodes.len() {
            if let Op::Pointwise { dropout: None, add: false, activation } = self.nodes[index].op
                && let Some(before) = self.only_for(self.nodes[index].inputs[0])
                && let Some(place) = self.nodes[before].op.activation_mut().filter(|a| **a == Activation::Identity)
            {
                *place = activation;
                let node = self.nodes.remove(index);
                self.nodes[before].output = node.output;
                continue;
            }
            index += 1;
        }
    }

    /// Fuses dropout into the sum after it.
    fn fuse_dropout_into_sums(&mut self) {
        let mut index = 0;
        while index < self.nodes.len() {
            if let Op::Pointwise { dropout: None, add: true, .. } = self.nodes[index].op {
                let inputs = self.nodes[index].inputs.clone();
                let dropout_of = |graph: &Graph, value| {
                    let before = graph.only_for(value)?;
                    match graph.nodes[before].op {
                        Op::Pointwise { dropout, add: false, activation: Activation::Identity } => {
                            Some((before, dropout?))
                        }
                        _ => None,
                    }
                };
                let found = [(0, 1), (1, 0)].into_iter().find_map(|(a, b)| Some((dropout_of(self, inputs[a])?, b)));
                if let Some(((before, dropped), other)) = found {
                    self.nodes[index].inputs = vec![self.nodes[before].inputs[0], inputs[other]];
                    if let Op::Pointwise { dropout, .. } = &mut self.nodes[index].op {
                        *dropout = Some(dropped);
                    }
                    self.nodes.remove(before);
                    continue;
                }
            }
            index += 1;
        }
    }

    /// Folds batch normalisation by running statistics into the convolution before it.
    fn fold_batch_norms(&mut self) {
        let mut index = 0;
        while index < self.nodes.len() {
            if let Op::BatchNorm { norm, activation } = self.nodes[index].op
                && let Some(before) = self.only_for(self.nodes[index].inputs[0])
                && let Op::Convolution { fused, flat } = self.nodes[before].op
                && fused.activation == Activation::Identity
                && fused.residual == Residual::None
            {
                let [gamma, beta, mean, variance] = [1, 2, 3, 4].map(|i| self.nodes[index].inputs[i]);
                let convolution = self.nodes[before].clone();
                let (x, w, bias) = (convolution.inputs[0], convolution.inputs[1], convolution.inputs.get(2).copied());
                let weight_op = Op::FoldWeight { layer: fused.layer, norm };
                let weight = self.computed(convolution.name.clone(), weight_op, vec![w, gamma, beta, mean, variance]);
                let inputs = [gamma, beta, mean, variance].into_iter().chain(bias).collect();
                let bias = self.computed(convolution.name.clone(), Op::FoldBias { norm }, inputs);
                let inputs = vec![x, weight.output, bias.output];
                let op = Op::Convolution { fused: fused.activation(activation), flat };
                let output = self.nodes[index].output;
                let folded = Node { op, inputs, output, ..convolution };
                self.nodes.splice(index..=index, [weight, bias, folded]);
                self.nodes.remove(before);
                continue;
            }
            index += 1;
        }
    }

    fn computed(&mut self, name: String, op: Op, inputs: Vec<Value>) -> Node {
        self.origins.push(Origin::Node);
        Node { name, op, inputs, output: Value(self.origins.len() - 1), terms: [""; 2] }
    }

    /// Fuses a sum into the convolution that computes one of its terms: the other term becomes the residual.
    fn fuse_sums_into_convolutions(&mut self) {
        let mut index = 0;
        while index < self.nodes.len() {
            if let Op::Pointwise { dropout: None, add: true, activation } = self.nodes[index].op {
                let inputs = self.nodes[index].inputs.clone();
                let found = [(0, 1), (1, 0)].into_iter().find_map(|(a, b)| {
                    let before = self.only_for(inputs[a])?;
                    match self.nodes[before].op {
                        Op::Convolution { fused, flat: false }
                            if fused.activation == Activation::Identity && fused.residual == Residual::None =>
                        {
                            Some((before, fused, inputs[b]))
                        }
                        _ => None,
                    }
                });
                if let Some((before, fused, residual)) = found {
                    let convolution = self.nodes[before].clone();
                    let fused = fused.activation(activation).residual(Residual::BeforeActivation);
                    let inputs = convolution.inputs.iter().copied().chain([residual]).collect();
                    let output = self.nodes[index].output;
                    // At the position of the sum, where both of its terms are known.
                    let op = Op::Convolution { fused, flat: false };
                    self.nodes[index] = Node { op, inputs, output, ..convolution };
                    self.nodes.remove(before);
                    continue;
                }
            }
            index += 1;
        }
    }

    /// Index of the operation that computes a value, if the value is used once.
    fn only_for(&self, value: Value) -> Option<usize> {
        let before = self.nodes.iter().position(|node| node.output == value)?;
        (self.uses(value) == 1).then_some(before)
    }

    fn rename(&mut self, from: Value, to: Value) {
        let inputs = self.nodes.iter_mut().flat_map(|node| &mut node.inputs);
        let layers = self.layers.iter_mut().map(|(_, value)| value);
        for value in inputs.chain(layers).chain([&mut self.output]) {
            if *value == from {
                *value = to;
            }
        }
    }
}

impl Op {
    fn activation_mut(&mut self) -> Option<&mut Activation> {
        match self {
            // If the residual is added after the activation, an activation of the sum is a second one.
            Op::Convolution { fused, .. } if fused.residual != Residual::AfterActivation => Some(&mut fused.activation),
            Op::BatchNorm { activation, .. } | Op::Pointwise { activation, .. } => Some(activation),
            _ => None,
        }
    }
}

//! Memory reuse among the tensors of a schedule: a tensor that is no longer needed frees its place for another one.
//! Plain arithmetic.

use crate::launch::{Home, Step, TensorId};
use crate::schedule::Schedule;
use std::collections::HashMap;

/// Places in memory, and the place of each tensor.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placement {
    /// Elements of each place.
    pub(crate) places: Vec<u64>,
    pub(crate) place_of: HashMap<TensorId, usize>,
    /// Elements of all tensors, if each had its own place.
    pub(crate) apart: u64,
}

impl Placement {
    /// Each tensor holds a place from the first step that uses it to the last, or, with `keep`, until the end.
    pub(crate) fn new(schedule: &Schedule, keep: bool) -> Placement {
        let steps: Vec<&Step> = schedule.forward.iter().chain(&schedule.backward).collect();
        let mut last_use: HashMap<TensorId, usize> = HashMap::new();
        for (index, step) in steps.iter().enumerate() {
            for tensor in step.tensors() {
                last_use.insert(tensor, index);
            }
        }
        let mut placement = Placement { places: Vec::new(), place_of: HashMap::new(), apart: 0 };
        let mut free: Vec<usize> = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let pooled = |tensor: &TensorId| schedule.tensors[tensor.0].home == Home::Pool;
            let tensors: Vec<TensorId> = step.tensors().into_iter().filter(pooled).collect();
            for &tensor in &tensors {
                if !placement.place_of.contains_key(&tensor) {
                    placement.put(tensor, schedule.tensors[tensor.0].elements(), &mut free);
                }
            }
            let mut done: Vec<usize> =
                tensors.iter().filter(|t| !keep && last_use[t] == index).map(|t| placement.place_of[t]).collect();
            done.sort_unstable();
            done.dedup();
            free.extend(done);
        }
        placement
    }

    /// The smallest free place that is large enough; otherwise the largest one, made larger; otherwise a new one.
    fn put(&mut self, tensor: TensorId, elements: u64, free: &mut Vec<usize>) {
        let fits = free.iter().enumerate().filter(|(_, place)| self.places[**place] >= elements);
        let best = fits.min_by_key(|(_, place)| self.places[**place]).map(|(index, _)| index);
        let largest = || free.iter().enumerate().max_by_key(|(_, place)| self.places[**place]).map(|(index, _)| index);
        let place = match best.or_else(largest) {
            Some(index) => free.swap_remove(index),
            None => {
                self.places.push(0);
                self.places.len() - 1
            }
        };
        self.places[place] = self.places[place].max(elements);
        self.place_of.insert(tensor, place);
        self.apart += elements;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Mode};
    use crate::networks::Tcn;
    use crate::schedule::{Request, WantedGradients};
    use conv1d::{Caps, Plan, PlanOptions};

    fn schedule(wanted: WantedGradients) -> Schedule {
        let graph = Graph::of(&Tcn::new(3, 16, 2).layers(4)).fused(Mode::Training, wanted.any());
        let request = Request { graph: &graph, input: [4, 3, 50], batch_statistics: true, wanted, loss: None, seed: 1 };
        let planner = |fused, operation, input: &[usize]| {
            Ok(Plan::new(fused, operation, input, &Caps::WEBGPU, &PlanOptions::default())?)
        };
        Schedule::new(&request, &Caps::WEBGPU, &planner).unwrap()
    }

    /// No tensor overwrites another one that is still needed.
    #[test]
    fn tensors_in_use_lie_apart() {
        for wanted in [WantedGradients::default(), WantedGradients { parameters: true, input: true }] {
            let schedule = schedule(wanted);
            let placement = Placement::new(&schedule, false);
            let steps: Vec<&Step> = schedule.forward.iter().chain(&schedule.backward).collect();
            let mut held: HashMap<usize, TensorId> = HashMap::new();
            let mut written: Vec<TensorId> = Vec::new();
            for step in steps {
                for tensor in step.tensors() {
                    let Some(&place) = placement.place_of.get(&tensor) else { continue };
                    assert!(placement.places[place] >= schedule.tensors[tensor.0].elements());
                    let before = held.insert(place, tensor);
                    // A tensor must not return to a place that another tensor has used since.
                    if before != Some(tensor) {
                        assert!(!written.contains(&tensor), "{tensor:?} was overwritten by {before:?}");
                        written.push(tensor);
                    }
                }
            }
        }
    }

    /// A forward pass without gradients needs as many places as tensors are alive at once, for any number of layers.
    #[test]
    fn inference_needs_few_places() {
        let placement = Placement::new(&schedule(WantedGradients::default()), false);
        let total: u64 = placement.places.iter().sum();
        assert!(total * 3 < placement.apart, "{placement:?}");
    }
}

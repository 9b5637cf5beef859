//! The oracle of networks: operations in `f64`, straight from their definitions, with their derivatives and an estimate
//! of the error of a device that computes in `f32`.
//!
//! Every operation adds its own bound, that of its sums (`conv1d::reference`). Errors of its inputs
//! propagate through its derivatives. Errors of different elements come from different roundings, so their squares add
//! up (Higham, Mary: *A New Approach to Probabilistic Rounding Error Analysis*, 2019). A worst-case bound, with all
//! errors in one direction through every layer, would allow anything after a few layers.

use conv1d::reference::{gamma, longest_chain};
use std::collections::BTreeMap;

/// Values with a bound of the error of each.
#[derive(Debug, Clone, Default)]
pub(super) struct Balls {
    pub(super) shape: Vec<usize>,
    pub(super) value: Vec<f64>,
    pub(super) error: Vec<f64>,
}

impl Balls {
    pub(super) fn exact(shape: &[usize], values: &[f32]) -> Self {
        let value: Vec<f64> = values.iter().map(|&v| v.into()).collect();
        Balls { shape: shape.to_vec(), error: vec![0.0; value.len()], value }
    }

    fn zeros(shape: &[usize]) -> Self {
        let count = shape.iter().product();
        Balls { shape: shape.to_vec(), value: vec![0.0; count], error: vec![0.0; count] }
    }

    fn add(&mut self, other: &Balls) {
        for i in 0..self.value.len() {
            self.value[i] += other.value[i];
            self.error[i] = self.error[i].hypot(other.error[i]) + UNIT * self.value[i].abs();
        }
    }
}

const UNIT: f64 = 1.0 / (1_u32 << 24) as f64;

/// A value on a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Var(usize);

type Back = Box<dyn Fn(&[Balls], &Balls) -> Vec<(Var, Balls)>>;

/// Values in the order of their computation, with the backward function of each.
#[derive(Default)]
pub(super) struct Tape {
    values: Vec<Balls>,
    back: Vec<Option<Back>>,
    names: BTreeMap<String, Var>,
}

/// A sum of products, with the sum of the squared errors of its terms and the data for the error of the summation.
#[derive(Default, Clone, Copy)]
struct Sum {
    value: f64,
    magnitude: f64,
    squares: f64,
    terms: u64,
}

impl Sum {
    fn add(&mut self, (a, ea): (f64, f64), (b, eb): (f64, f64)) {
        self.value += a * b;
        self.magnitude += (a * b).abs();
        self.squares += (a * eb).powi(2) + (b * ea).powi(2) + (ea * eb).powi(2);
        self.terms += 1;
    }

    fn error(&self) -> f64 {
        let own =
            gamma(longest_chain(self.terms) + 1) * self.magnitude + self.terms as f64 * f64::from(f32::MIN_POSITIVE);
        (own * own + self.squares).sqrt()
    }
}

/// A convolution with zero padding on both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Geometry {
    pub(super) stride: usize,
    pub(super) dilation: usize,
    pub(super) groups: usize,
    pub(super) left: usize,
    pub(super) right: usize,
}

impl Geometry {
    pub(super) fn causal(kernel: usize, dilation: usize) -> Self {
        Geometry { stride: 1, dilation, groups: 1, left: dilation * (kernel - 1), right: 0 }
    }

    pub(super) fn same(kernel: usize, groups: usize) -> Self {
        Geometry { stride: 1, dilation: 1, groups, left: (kernel - 1) / 2, right: kernel / 2 }
    }

    /// A depthwise convolution with ceil(L / stride) outputs, and an odd sample of padding on the right.
    pub(super) fn halved([kernel, stride, dilation]: [usize; 3], x: &[usize]) -> Self {
        let reached = (x[2].div_ceil(stride) - 1) * stride + dilation * (kernel - 1) + 1;
        let padding = reached.saturating_sub(x[2]);
        Geometry { stride, dilation, groups: x[1], left: padding / 2, right: padding - padding / 2 }
    }

    fn output(&self, x: &[usize], w: &[usize]) -> [usize; 3] {
        let padded = x[2] + self.left + self.right;
        [x[0], w[0], (padded - self.dilation * (w[2] - 1) - 1) / self.stride + 1]
    }

    /// Calls `product` with the indices of x, w and y for every product.
    fn each(&self, x: &[usize], w: &[usize], mut product: impl FnMut(usize, usize, usize)) {
        let y = self.output(x, w);
        let per_group = w[0] / self.groups;
        for n in 0..y[0] {
            for o in 0..y[1] {
                for c in 0..w[1] {
                    let channel = o / per_group * w[1] + c;
                    for k in 0..w[2] {
                        for i in 0..y[2] {
                            let padded = i * self.stride + k * self.dilation;
                            let position = padded.wrapping_sub(self.left);
                            if position < x[2] {
                                let at = (n * x[1] + channel) * x[2] + position;
                                product(at, (o * w[1] + c) * w[2] + k, (n * y[1] + o) * y[2] + i);
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Tape {
    fn push(&mut self, value: Balls, back: impl Fn(&[Balls], &Balls) -> Vec<(Var, Balls)> + 'static) -> Var {
        self.values.push(value);
        self.back.push(Some(Box::new(back)));
        Var(self.values.len() - 1)
    }

    /// An input of the tape.
    pub(super) fn leaf(&mut self, name: &str, value: Balls) -> Var {
        self.values.push(value);
        self.back.push(None);
        let var = Var(self.values.len() - 1);
        self.names.insert(name.to_owned(), var);
        var
    }

    pub(super) fn value(&self, var: Var) -> &Balls {
        &self.values[var.0]
    }

    /// Gradients of all leaves, by name, from the gradient of `output`.
    pub(super) fn gradients(&self, output: Var, dy: Balls) -> BTreeMap<String, Balls> {
        let mut gradients: Vec<Option<Balls>> = self.values.iter().map(|_| None).collect();
        gradients[output.0] = Some(dy);
        for index in (0..self.values.len()).rev() {
            let (Some(back), Some(gradient)) = (&self.back[index], gradients[index].clone()) else { continue };
            for (var, share) in back(&self.values, &gradient) {
                match &mut gradients[var.0] {
                    Some(sum) => sum.add(&share),
                    empty => *empty = Some(share),
                }
            }
        }
        let named = self.names.iter().filter_map(|(name, var)| Some((name.clone(), gradients[var.0].clone()?)));
        named.collect()
    }

    pub(super) fn conv(&mut self, g: Geometry, x: Var, w: Var, b: Option<Var>) -> Var {
        let (xs, ws) = (&self.values[x.0], &self.values[w.0]);
        let shape = g.output(&xs.shape, &ws.shape);
        let mut sums = vec![Sum::default(); shape.iter().product()];
        if let Some(b) = b {
            let (bias, length) = (&self.values[b.0], shape[2]);
            for (i, sum) in sums.iter_mut().enumerate() {
                let channel = i / length % shape[1];
                sum.value = bias.value[channel];
                sum.magnitude = bias.value[channel].abs();
                sum.squares = bias.error[channel].powi(2);
            }
        }
        let at = |balls: &Balls, i: usize| (balls.value[i], balls.error[i]);
        g.each(&xs.shape, &ws.shape, |xi, wi, yi| sums[yi].add(at(xs, xi), at(ws, wi)));
        let collect = |sums: &[Sum], shape: &[usize]| Balls {
            shape: shape.to_vec(),
            value: sums.iter().map(|s| s.value).collect(),
            error: sums.iter().map(Sum::error).collect(),
        };
        let y = collect(&sums, &shape);
        self.push(y, move |values, dy| {
            let (xs, ws) = (&values[x.0], &values[w.0]);
            let mut dx = vec![Sum::default(); xs.value.len()];
            let mut dw = vec![Sum::default(); ws.value.len()];
            let at = |balls: &Balls, i: usize| (balls.value[i], balls.error[i]);
            g.each(&xs.shape, &ws.shape, |xi, wi, yi| {
                dx[xi].add(at(ws, wi), at(dy, yi));
                dw[wi].add(at(xs, xi), at(dy, yi));
            });
            let mut shares = vec![(x, collect(&dx, &xs.shape)), (w, collect(&dw, &ws.shape))];
            if let Some(b) = b {
                let (channels, length) = (dy.shape[1], dy.shape[2]);
                let mut db = vec![Sum::default(); channels];
                for i in 0..dy.value.len() {
                    db[i / length % channels].add(at(dy, i), (1.0, 0.0));
                }
                shares.push((b, collect(&db, &[channels])));
            }
            shares
        })
    }

    /// `g * v / |v|`, row by row.
    pub(super) fn weight_norm(&mut self, g: Var, v: Var) -> Var {
        let (gs, vs) = (self.values[g.0].clone(), self.values[v.0].clone());
        let length = vs.value.len() / gs.value.len();
        let norms: Vec<f64> =
            vs.value.chunks(length).map(|row| row.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
        let mut w = Balls::zeros(&vs.shape);
        for i in 0..w.value.len() {
            w.value[i] = gs.value[i / length] * vs.value[i] / norms[i / length];
            w.error[i] = gamma(longest_chain(length as u64) + 8) * w.value[i].abs();
        }
        self.push(w, move |_, dw| {
            let (mut dg, mut dv) = (Balls::zeros(&gs.shape), Balls::zeros(&vs.shape));
            for (row, norm) in norms.iter().enumerate() {
                let (mut along, scale) = (Sum::default(), gs.value[row] / norm);
                for i in row * length..(row + 1) * length {
                    along.add((dw.value[i], dw.error[i]), (vs.value[i] / norm, 0.0));
                }
                dg.value[row] = along.value;
                dg.error[row] = along.error() + gamma(longest_chain(length as u64) + 8) * along.magnitude;
                for i in row * length..(row + 1) * length {
                    let direction = vs.value[i] / norm;
                    dv.value[i] = scale * (dw.value[i] - direction * along.value);
                    let own = gamma(2 * longest_chain(length as u64) + 8)
                        * (dw.value[i].abs() + direction.abs() * along.magnitude);
                    dv.error[i] = scale.abs() * (own + dw.error[i].hypot(direction * along.error()));
                }
            }
            vec![(g, dg), (v, dv)]
        })
    }

    pub(super) fn relu(&mut self, x: Var) -> Var {
        let mut y = self.values[x.0].clone();
        for i in 0..y.value.len() {
            if y.value[i] <= 0.0 {
                y.error[i] = (y.error[i] + y.value[i]).max(0.0);
                y.value[i] = 0.0;
            }
        }
        self.push(y, move |values, dy| {
            let (xs, mut dx) = (&values[x.0], dy.clone());
            for i in 0..dx.value.len() {
                if xs.value[i] <= 0.0 {
                    (dx.value[i], dx.error[i]) = (0.0, 0.0);
                }
                // The device may be on either side of the kink.
                if xs.value[i].abs() <= xs.error[i] {
                    dx.error[i] = dy.error[i] + dy.value[i].abs();
                }
            }
            vec![(x, dx)]
        })
    }

    pub(super) fn add(&mut self, a: Var, b: Var) -> Var {
        let mut y = self.values[a.0].clone();
        y.add(&self.values[b.0]);
        self.push(y, move |_, dy| vec![(a, dy.clone()), (b, dy.clone())])
    }

    pub(super) fn concat(&mut self, parts: &[Var]) -> Var {
        let parts = parts.to_vec();
        let [n, _, l] = self.values[parts[0].0].shape[..] else { panic!("three dimensions") };
        let channels: Vec<usize> = parts.iter().map(|p| self.values[p.0].shape[1]).collect();
        let total: usize = channels.iter().sum();
        let mut y = Balls::zeros(&[n, total, l]);
        // (part, element of it, element of the whole)
        let mut places = Vec::new();
        for item in 0..n {
            let mut first = 0;
            for (part, &c) in channels.iter().enumerate() {
                for i in 0..c * l {
                    places.push((part, item * c * l + i, (item * total + first) * l + i));
                }
                first += c;
            }
        }
        for &(part, from, to) in &places {
            y.value[to] = self.values[parts[part].0].value[from];
            y.error[to] = self.values[parts[part].0].error[from];
        }
        self.push(y, move |values, dy| {
            let mut shares: Vec<_> = parts.iter().map(|p| (*p, Balls::zeros(&values[p.0].shape))).collect();
            for &(part, from, to) in &places {
                shares[part].1.value[from] = dy.value[to];
                shares[part].1.error[from] = dy.error[to];
            }
            shares
        })
    }

    /// `[N, C, L]` to `[N, C, 1]`.
    pub(super) fn last_step(&mut self, x: Var) -> Var {
        let xs = &self.values[x.0];
        let [n, c, l] = xs.shape[..] else { panic!("three dimensions") };
        let mut y = Balls::zeros(&[n, c, 1]);
        for row in 0..n * c {
            y.value[row] = xs.value[row * l + l - 1];
            y.error[row] = xs.error[row * l + l - 1];
        }
        self.push(y, move |_, dy| {
            let mut dx = Balls::zeros(&[n, c, l]);
            for row in 0..n * c {
                dx.value[row * l + l - 1] = dy.value[row];
                dx.error[row * l + l - 1] = dy.error[row];
            }
            vec![(x, dx)]
        })
    }

    /// Batch normalisation by the statistics of the batch, or by given ones. Also returns the mean and the unbiased
    /// variance of the batch.
    pub(super) fn batch_norm(
        &mut self,
        x: Var,
        gamma_beta: [Var; 2],
        given: Option<(Vec<f64>, Vec<f64>)>,
    ) -> (Var, Vec<f64>, Vec<f64>) {
        let xs = self.values[x.0].clone();
        let (gammas, betas) = (self.values[gamma_beta[0].0].clone(), self.values[gamma_beta[1].0].clone());
        let [n, channels, l] = xs.shape[..] else { panic!("three dimensions") };
        let positions = (n * l) as f64;
        let channel_of = move |i: usize| i / l % channels;
        let of = |channel: usize| (0..n * channels * l).filter(move |&i| channel_of(i) == channel);
        let frozen = given.is_some();
        let mut statistics = Vec::new();
        let (mut means, mut unbiased) = (Vec::new(), Vec::new());
        for channel in 0..channels {
            let mean = of(channel).map(|i| xs.value[i]).sum::<f64>() / positions;
            let variance = of(channel).map(|i| (xs.value[i] - mean).powi(2)).sum::<f64>() / positions;
            let size = of(channel).map(|i| xs.value[i].abs()).sum::<f64>() / positions;
            let spread = of(channel).map(|i| xs.error[i].powi(2)).sum::<f64>().sqrt() / positions;
            means.push(mean);
            unbiased.push(variance * positions / (positions - 1.0));
            let (mean, variance) = match &given {
                Some((means, variances)) => (means[channel], variances[channel]),
                None => (mean, variance),
            };
            let inverse = 1.0 / (variance + 1e-5).sqrt();
            // Absolute error of the mean, relative error of the inverse.
            let (mean_error, inverse_error) = if frozen {
                (0.0, 4.0 * UNIT)
            } else {
                let chain = longest_chain(n as u64 * l as u64);
                let mean_error = (gamma(chain) * size).hypot(spread);
                let variance_error = gamma(chain + 4) * variance + 2.0 * variance.sqrt() * spread;
                (mean_error, 0.5 * variance_error * inverse * inverse + 4.0 * UNIT)
            };
            statistics.push((mean, inverse, mean_error, inverse_error));
        }
        // Difference of an element from its mean, in standard deviations, and the error of that.
        let normalised = {
            let statistics = statistics.clone();
            move |xs: &Balls, i: usize| {
                let (mean, inverse, mean_error, inverse_error) = statistics[channel_of(i)];
                let value = (xs.value[i] - mean) * inverse;
                let own = 4.0 * UNIT * (xs.value[i].abs() + mean.abs()) * inverse;
                (value, (xs.error[i].hypot(mean_error) * inverse).hypot(value * inverse_error) + own)
            }
        };
        let mut y = Balls::zeros(&xs.shape);
        for i in 0..y.value.len() {
            let (value, error) = normalised(&xs, i);
            let (gamma, beta) = (gammas.value[channel_of(i)], betas.value[channel_of(i)]);
            y.value[i] = value * gamma + beta;
            y.error[i] = error * gamma.abs() + 4.0 * UNIT * ((value * gamma).abs() + beta.abs());
        }
        let var = self.push(y, move |values, dy| {
            let xs = &values[x.0];
            let (mut sums, mut products) = (vec![Sum::default(); channels], vec![Sum::default(); channels]);
            for i in 0..dy.value.len() {
                sums[channel_of(i)].add((dy.value[i], dy.error[i]), (1.0, 0.0));
                products[channel_of(i)].add((dy.value[i], dy.error[i]), normalised(xs, i));
            }
            let collect = |sums: &[Sum]| Balls {
                shape: vec![channels],
                value: sums.iter().map(|s| s.value).collect(),
                error: sums.iter().map(Sum::error).collect(),
            };
            let mut dx = Balls::zeros(&xs.shape);
            for i in 0..dx.value.len() {
                let channel = channel_of(i);
                let (_, inverse, _, inverse_error) = statistics[channel];
                let scale = gammas.value[channel] * inverse;
                let (mut value, mut size, mut error) = (dy.value[i], dy.value[i].abs(), dy.error[i]);
                if !frozen {
                    let (hat, hat_error) = normalised(xs, i);
                    let (sum, product) = (sums[channel], products[channel]);
                    value -= (sum.value + hat * product.value) / positions;
                    size += (sum.value.abs() + (hat * product.value).abs()) / positions;
                    let others =
                        (sum.error() + hat.abs() * product.error() + hat_error * product.value.abs()) / positions;
                    error = error.hypot(others);
                }
                dx.value[i] = scale * value;
                dx.error[i] = scale.abs() * (error + 8.0 * UNIT * size + inverse_error * value.abs());
            }
            vec![(x, dx), (gamma_beta[0], collect(&products)), (gamma_beta[1], collect(&sums))]
        });
        (var, means, unbiased)
    }
}

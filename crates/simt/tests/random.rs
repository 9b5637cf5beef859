//! Random shaders: structured control flow with conditions that differ between lanes, against a direct evaluator that runs one lane
//! after another.

use crate::{bound, shader, words};
use conv1d_simt::Fma;
use proptest::prelude::*;
use std::fmt::Write;

const KNOWN: [u32; 10] = [0, 1, 2, 3, 4, 7, 31, 33, 0x8000_0000, u32::MAX];
const FLOATS: [f32; 6] = [0.0, 1.0, -1.5, 0.1, 3.0e7, -0.333];
const LANES: u32 = 40;
const GROUPS: u32 = 2;
/// Words of the results of an invocation.
const WORDS: usize = 16;

#[derive(Debug, Clone, Copy)]
enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    And,
    Or,
    Xor,
    Left,
    Right,
    Min,
    Max,
    SignedDiv,
    SignedRem,
    SignedRight,
    SignedMax,
}

/// An expression of `u32`.
#[derive(Debug, Clone)]
enum U {
    Known(usize),
    Variable(usize),
    /// The counter of an enclosing loop.
    Counter(usize),
    Lane,
    Group,
    Uniform(usize),
    Loaded(Box<U>),
    Private,
    Element(Box<U>),
    ElementAt(usize),
    Component(Box<U>),
    Of(Binary, Box<[U; 2]>),
    Select(Box<(C, U, U)>),
    Float(Box<F>),
}

/// An expression of `f32`.
#[derive(Debug, Clone)]
enum F {
    Known(usize),
    Variable(usize),
    From(Box<U>),
    Add(Box<[F; 2]>),
    Sub(Box<[F; 2]>),
    Mul(Box<[F; 2]>),
    Min(Box<[F; 2]>),
    Max(Box<[F; 2]>),
    Fma(Box<[F; 3]>),
    Negated(Box<F>),
    Floor(Box<F>),
}

/// A condition.
#[derive(Debug, Clone)]
enum C {
    Less(Box<[U; 2]>),
    AtMost(Box<[U; 2]>),
    Equal(Box<[U; 2]>),
    SignedGreater(Box<[U; 2]>),
    FloatLess(Box<[F; 2]>),
    And(Box<[C; 2]>),
    Or(Box<[C; 2]>),
    Not(Box<C>),
}

#[derive(Debug, Clone)]
enum S {
    Set(usize, U),
    SetFloat(usize, F),
    SetElement(U, U),
    SetComponent(U, U),
    SetPrivate(U),
    If(C, Vec<S>, Vec<S>),
    /// Counter, bound.
    For(usize, U, Vec<S>),
    While(usize, U, Vec<S>),
    /// `loop` with `break if` in its `continuing`, which also has a statement.
    Loop(usize, U, Vec<S>, Box<S>),
    Switch(U, Vec<(Vec<u32>, Vec<S>)>, usize),
    /// Target, function, argument, variable that is passed as a pointer.
    Call(usize, usize, U, usize),
    /// A block with a variable that hides one of the function: which, initial value.
    Block(usize, U, Vec<S>),
    Break,
    Continue,
    Return(U),
}

/// Makes statements out of random numbers.
struct Maker {
    state: u64,
    counters: usize,
    functions: usize,
    in_function: bool,
}

/// What encloses a statement.
#[derive(Clone, Default)]
struct Inside {
    depth: usize,
    counters: Vec<usize>,
    in_loop: bool,
    in_switch: bool,
}

impl Maker {
    fn below(&mut self, count: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.state >> 33) as usize) % count
    }

    /// Variables that can be read and written: those of the function, and what its pointer points to.
    fn variable(&mut self) -> usize {
        let count = if self.in_function { 5 } else { 4 };
        self.below(count)
    }

    fn u(&mut self, inside: &Inside, depth: usize) -> U {
        if depth == 0 {
            return match self.below(9) {
                0 | 1 => U::Known(self.below(KNOWN.len())),
                2 | 3 => U::Variable(self.variable()),
                4 if !inside.counters.is_empty() => U::Counter(inside.counters[self.below(inside.counters.len())]),
                4 | 5 => U::Lane,
                6 => U::Uniform(self.below(4)),
                7 => U::Group,
                _ => U::Private,
            };
        }
        let sub = |maker: &mut Maker| {
            let depth = maker.below(depth);
            maker.u(inside, depth)
        };
        match self.below(14) {
            0 => U::Loaded(Box::new(sub(self))),
            1 => U::Element(Box::new(sub(self))),
            2 => U::ElementAt(self.below(4)),
            3 => U::Component(Box::new(sub(self))),
            4 => {
                let (a, b) = (sub(self), sub(self));
                let condition = self.c(inside, 0);
                U::Select(Box::new((condition, a, b)))
            }
            5 => U::Float(Box::new(self.f(inside, 1))),
            _ => {
                use Binary::*;
                let all = [
                    Add,
                    Add,
                    Sub,
                    Mul,
                    Mul,
                    Div,
                    Rem,
                    And,
                    Or,
                    Xor,
                    Left,
                    Right,
                    Min,
                    Max,
                    SignedDiv,
                    SignedRem,
                    SignedRight,
                    SignedMax,
                ];
                let code = all[self.below(all.len())];
                U::Of(code, Box::new([sub(self), sub(self)]))
            }
        }
    }

    fn f(&mut self, inside: &Inside, depth: usize) -> F {
        if depth == 0 {
            return match self.below(3) {
                0 => F::Known(self.below(FLOATS.len())),
                1 => F::Variable(self.below(2)),
                _ => F::From(Box::new(self.u(inside, 0))),
            };
        }
        let sub = |maker: &mut Maker| {
            let depth = maker.below(depth);
            maker.f(inside, depth)
        };
        match self.below(8) {
            0 => F::Add(Box::new([sub(self), sub(self)])),
            1 => F::Sub(Box::new([sub(self), sub(self)])),
            2 => F::Mul(Box::new([sub(self), sub(self)])),
            3 => F::Min(Box::new([sub(self), sub(self)])),
            4 => F::Max(Box::new([sub(self), sub(self)])),
            5 => F::Fma(Box::new([sub(self), sub(self), sub(self)])),
            6 => F::Negated(Box::new(sub(self))),
            _ => F::Floor(Box::new(sub(self))),
        }
    }

    fn c(&mut self, inside: &Inside, depth: usize) -> C {
        let code = self.below(if depth == 0 { 6 } else { 9 });
        match code {
            0 | 1 => C::Less(Box::new([self.u(inside, 1), self.u(inside, 0)])),
            2 => C::AtMost(Box::new([self.u(inside, 1), self.u(inside, 0)])),
            3 => C::Equal(Box::new([
                U::Of(Binary::Rem, Box::new([self.u(inside, 1), U::Known(3)])),
                U::Known(self.below(3)),
            ])),
            4 => C::SignedGreater(Box::new([self.u(inside, 1), self.u(inside, 0)])),
            5 => C::FloatLess(Box::new([self.f(inside, 1), self.f(inside, 1)])),
            6 => C::And(Box::new([self.c(inside, 0), self.c(inside, 0)])),
            7 => C::Or(Box::new([self.c(inside, 0), self.c(inside, 0)])),
            _ => C::Not(Box::new(self.c(inside, 0))),
        }
    }

    /// A bound of a loop: at most 5.
    fn bound(&mut self, inside: &Inside) -> U {
        match self.below(4) {
            0 | 1 => U::Known(self.below(5)),
            2 => U::Of(Binary::Rem, Box::new([U::Lane, U::Known([2, 3, 4][self.below(3)])])),
            _ => U::Of(Binary::And, Box::new([self.u(inside, 1), U::Known([1, 2, 3][self.below(3)])])),
        }
    }

    fn block(&mut self, inside: &Inside, most: usize) -> Vec<S> {
        let count = self.below(most) + 1;
        let mut all: Vec<S> = (0..count).map(|_| self.s(inside)).collect();
        match self.below(8) {
            0 | 1 if inside.in_loop => all.push(S::Continue),
            2 | 3 if inside.in_loop || inside.in_switch => all.push(S::Break),
            4 if inside.depth > 0 => all.push(S::Return(self.u(inside, 1))),
            _ => {}
        }
        all
    }

    fn s(&mut self, inside: &Inside) -> S {
        let deeper = Inside { depth: inside.depth + 1, ..inside.clone() };
        let code = if inside.depth >= 4 { self.below(7) } else { self.below(17) };
        match code {
            0..=2 => S::Set(self.variable(), self.u(inside, 2)),
            3 => S::SetFloat(self.below(2), self.f(inside, 2)),
            4 => S::SetElement(self.u(inside, 1), self.u(inside, 1)),
            5 => S::SetComponent(self.u(inside, 1), self.u(inside, 1)),
            6 => S::SetPrivate(self.u(inside, 1)),
            7..=9 => {
                let condition = self.c(inside, 1);
                let accept = self.block(&deeper, 3);
                let reject = if self.below(2) == 0 { self.block(&deeper, 2) } else { Vec::new() };
                S::If(condition, accept, reject)
            }
            10..=12 => {
                let counter = self.counters;
                self.counters += 1;
                let bound = self.bound(inside);
                let mut of_loop = Inside { in_loop: true, in_switch: false, ..deeper };
                of_loop.counters.push(counter);
                let mut body = self.block(&of_loop, 3);
                match self.below(3) {
                    0 => S::For(counter, bound, body),
                    1 => S::While(counter, bound, body),
                    _ => {
                        // naga has no `continue` at the end of a body that a `continuing` follows.
                        if matches!(body.last(), Some(S::Continue)) {
                            body.pop();
                        }
                        let last = S::Set(self.variable(), self.u(&of_loop, 1));
                        S::Loop(counter, bound, body, Box::new(last))
                    }
                }
            }
            13 | 14 => {
                let selector = match self.below(4) {
                    0 => U::Known(self.below(5)),
                    _ => U::Of(Binary::And, Box::new([self.u(inside, 1), U::Known(3)])),
                };
                let of_switch = Inside { in_switch: true, ..deeper };
                let mut cases = vec![
                    (vec![0], self.block(&of_switch, 2)),
                    (vec![1, 3], self.block(&of_switch, 2)),
                    (Vec::new(), self.block(&of_switch, 2)),
                ];
                let default = self.below(3);
                cases.swap(2, default);
                S::Switch(selector, cases, default)
            }
            15 if self.functions > 0 => {
                let function = self.below(self.functions);
                // The result and the pointer are of variables of this function.
                S::Call(self.below(4), function, self.u(inside, 1), self.below(4))
            }
            _ => S::Block(self.below(4), self.u(inside, 1), self.block(&deeper, 2)),
        }
    }
}

// Text.

impl U {
    fn text(&self) -> String {
        match self {
            U::Known(i) => format!("k{i}"),
            U::Variable(4) => "(*p)".into(),
            U::Variable(i) => format!("v{i}"),
            U::Counter(i) => format!("c{i}"),
            U::Lane => "lane".into(),
            U::Group => "group".into(),
            U::Uniform(i) => format!("given.{}", ["x", "y", "z", "w"][*i]),
            U::Loaded(index) => format!("input[{} % 16u]", index.text()),
            U::Private => "private_one".into(),
            U::Element(index) => format!("elements[{} % 4u]", index.text()),
            U::ElementAt(index) => format!("elements[{index}]"),
            U::Component(index) => format!("vector[{} & 3u]", index.text()),
            U::Of(code, of) => {
                let [a, b] = [of[0].text(), of[1].text()];
                // Shifts by constants of 32 and more, and divisions by constants of 0, are not valid.
                let b = match (code, &of[1]) {
                    (Binary::Left | Binary::Right | Binary::SignedRight, U::Known(_)) => format!("({b} & k6)"),
                    (Binary::Div | Binary::Rem | Binary::SignedDiv | Binary::SignedRem, U::Known(0)) => {
                        "given.x".into()
                    }
                    _ => b,
                };
                let signed = |op: &str| format!("bitcast<u32>(bitcast<i32>({a}) {op} bitcast<i32>({b}))");
                match code {
                    Binary::Add => format!("({a} + {b})"),
                    Binary::Sub => format!("({a} - {b})"),
                    Binary::Mul => format!("({a} * {b})"),
                    Binary::Div => format!("({a} / {b})"),
                    Binary::Rem => format!("({a} % {b})"),
                    Binary::And => format!("({a} & {b})"),
                    Binary::Or => format!("({a} | {b})"),
                    Binary::Xor => format!("({a} ^ {b})"),
                    Binary::Left => format!("({a} << {b})"),
                    Binary::Right => format!("({a} >> {b})"),
                    Binary::Min => format!("min({a}, {b})"),
                    Binary::Max => format!("max({a}, {b})"),
                    Binary::SignedDiv => signed("/"),
                    Binary::SignedRem => signed("%"),
                    Binary::SignedRight => format!("bitcast<u32>(bitcast<i32>({a}) >> {b})"),
                    Binary::SignedMax => format!("bitcast<u32>(max(bitcast<i32>({a}), bitcast<i32>({b})))"),
                }
            }
            U::Select(of) => format!("select({}, {}, {})", of.2.text(), of.1.text(), of.0.text()),
            U::Float(float) => format!("u32({})", float.text()),
        }
    }
}

impl F {
    fn text(&self) -> String {
        match self {
            F::Known(i) => format!("l{i}"),
            F::Variable(i) => format!("f{i}"),
            F::From(of) => format!("f32({})", of.text()),
            F::Add(of) => format!("({} + {})", of[0].text(), of[1].text()),
            F::Sub(of) => format!("({} - {})", of[0].text(), of[1].text()),
            F::Mul(of) => format!("({} * {})", of[0].text(), of[1].text()),
            F::Min(of) => format!("min({}, {})", of[0].text(), of[1].text()),
            F::Max(of) => format!("max({}, {})", of[0].text(), of[1].text()),
            F::Fma(of) => format!("fma({}, {}, {})", of[0].text(), of[1].text(), of[2].text()),
            F::Negated(of) => format!("(-{})", of.text()),
            F::Floor(of) => format!("floor({})", of.text()),
        }
    }
}

impl C {
    fn text(&self) -> String {
        match self {
            C::Less(of) => format!("({} < {})", of[0].text(), of[1].text()),
            C::AtMost(of) => format!("({} <= {})", of[0].text(), of[1].text()),
            C::Equal(of) => format!("({} == {})", of[0].text(), of[1].text()),
            C::SignedGreater(of) => format!("(bitcast<i32>({}) > bitcast<i32>({}))", of[0].text(), of[1].text()),
            C::FloatLess(of) => format!("({} < {})", of[0].text(), of[1].text()),
            C::And(of) => format!("({} && {})", of[0].text(), of[1].text()),
            C::Or(of) => format!("({} || {})", of[0].text(), of[1].text()),
            C::Not(of) => format!("!{}", of.text()),
        }
    }
}

fn text(block: &[S], in_function: bool, to: &mut String) {
    for statement in block {
        match statement {
            S::Set(4, value) => writeln!(to, "*p = {};", value.text()).unwrap(),
            S::Set(i, value) => writeln!(to, "v{i} = {};", value.text()).unwrap(),
            S::SetFloat(i, value) => writeln!(to, "f{i} = {};", value.text()).unwrap(),
            S::SetElement(i, value) => writeln!(to, "elements[{} % 4u] = {};", i.text(), value.text()).unwrap(),
            S::SetComponent(i, value) => writeln!(to, "vector[{} & 3u] = {};", i.text(), value.text()).unwrap(),
            S::SetPrivate(value) => writeln!(to, "private_one = {};", value.text()).unwrap(),
            S::If(condition, accept, reject) => {
                writeln!(to, "if {} {{", condition.text()).unwrap();
                text(accept, in_function, to);
                if !reject.is_empty() {
                    writeln!(to, "}} else {{").unwrap();
                    text(reject, in_function, to);
                }
                writeln!(to, "}}").unwrap();
            }
            S::For(i, bound, body) => {
                writeln!(to, "for (var c{i} = 0u; c{i} < {}; c{i}++) {{", bound.text()).unwrap();
                text(body, in_function, to);
                writeln!(to, "}}").unwrap();
            }
            S::While(i, bound, body) => {
                writeln!(to, "var n{i} = 0u;\nwhile n{i} < {} {{\nn{i} += 1u;\nlet c{i} = n{i};", bound.text())
                    .unwrap();
                text(body, in_function, to);
                writeln!(to, "}}").unwrap();
            }
            S::Loop(i, bound, body, last) => {
                writeln!(to, "var c{i} = 0u;\nloop {{").unwrap();
                text(body, in_function, to);
                writeln!(to, "continuing {{").unwrap();
                text(std::slice::from_ref(last), in_function, to);
                writeln!(to, "c{i} += 1u;\nbreak if c{i} >= {};\n}}\n}}", bound.text()).unwrap();
            }
            S::Switch(selector, cases, default) => {
                writeln!(to, "switch {} {{", selector.text()).unwrap();
                for (index, (values, body)) in cases.iter().enumerate() {
                    let mut values: Vec<String> = values.iter().map(|value| format!("{value}u")).collect();
                    if index == *default {
                        values.push("default".into());
                    }
                    writeln!(to, "case {}: {{", values.join(", ")).unwrap();
                    text(body, in_function, to);
                    writeln!(to, "}}").unwrap();
                }
                writeln!(to, "}}").unwrap();
            }
            S::Call(i, function, argument, pointer) => {
                writeln!(to, "v{i} = function{function}({}, &v{pointer});", argument.text()).unwrap();
            }
            S::Block(i, value, body) => {
                writeln!(to, "{{\nvar v{i} = {};", value.text()).unwrap();
                text(body, in_function, to);
                writeln!(to, "}}").unwrap();
            }
            S::Break => writeln!(to, "break;").unwrap(),
            S::Continue => writeln!(to, "continue;").unwrap(),
            S::Return(value) if in_function => writeln!(to, "return {};", value.text()).unwrap(),
            S::Return(_) => writeln!(to, "return;").unwrap(),
        }
    }
}

/// Functions, the last is the entry point.
fn shader_text(functions: &[Vec<S>]) -> String {
    let mut to = String::from(
        "@group(0) @binding(0) var<uniform> given: vec4<u32>;
@group(0) @binding(1) var<storage, read> input: array<u32>;
@group(0) @binding(2) var<storage, read_write> output: array<u32>;
var<private> private_one: u32 = 9u;
var<private> lane: u32;
var<private> group: u32;
",
    );
    for (index, body) in functions.iter().enumerate() {
        let main = index + 1 == functions.len();
        if main {
            to += "@compute @workgroup_size(40)\nfn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) id: vec3<u32>) {
lane = index;
group = id.x;
let argument = 5u;
";
        } else {
            writeln!(to, "fn function{index}(argument: u32, p: ptr<function, u32>) -> u32 {{").unwrap();
        }
        for (i, value) in KNOWN.iter().enumerate() {
            writeln!(to, "let k{i} = {value}u;").unwrap();
        }
        for (i, value) in FLOATS.iter().enumerate() {
            writeln!(to, "let l{i} = f32({value:?});").unwrap();
        }
        to += "var v0 = argument;\nvar v1 = lane;\nvar v2 = given.y;\nvar v3: u32;\nvar f0 = f32(lane);\nvar f1 = 2.5;
var elements = array<u32, 4>(1u, 2u, 3u, 4u);\nvar vector = vec4<u32>(lane, 5u, 6u, 7u);\n";
        text(body, !main, &mut to);
        if main {
            writeln!(to, "let at = (group * {LANES}u + lane) * {WORDS}u;").unwrap();
            for i in 0..4 {
                writeln!(to, "output[at + {i}u] = v{i};\noutput[at + {}u] = elements[{i}];", i + 4).unwrap();
                writeln!(to, "output[at + {}u] = vector[{i}];", i + 8).unwrap();
            }
            to += "output[at + 12u] = private_one;\noutput[at + 13u] = bitcast<u32>(f0);\noutput[at + 14u] = bitcast<u32>(f1);\n}\n";
        } else {
            to += "return v0 + v1 ^ v2 + v3;\n}\n".replace("v0 + v1 ^ v2 + v3", "(v0 + v1) ^ (v2 + v3)").as_str();
        }
    }
    to
}

// Evaluation.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
    Return(u32),
}

/// The variables of a function of one lane.
struct Frame {
    u: [u32; 5],
    f: [f32; 2],
    elements: [u32; 4],
    vector: [u32; 4],
    counters: Vec<u32>,
}

struct Lane<'p> {
    functions: &'p [Vec<S>],
    fused: bool,
    given: [u32; 4],
    input: &'p [u32],
    lane: u32,
    group: u32,
    private: u32,
}

impl Lane<'_> {
    fn frame(&self, argument: u32, pointed: u32, counters: usize) -> Frame {
        Frame {
            u: [argument, self.lane, self.given[1], 0, pointed],
            f: [self.lane as f32, 2.5],
            elements: [1, 2, 3, 4],
            vector: [self.lane, 5, 6, 7],
            counters: vec![0; counters],
        }
    }

    fn u(&self, frame: &Frame, expression: &U) -> u32 {
        match expression {
            U::Known(i) => KNOWN[*i],
            U::Variable(i) => frame.u[*i],
            U::Counter(i) => frame.counters[*i],
            U::Lane => self.lane,
            U::Group => self.group,
            U::Uniform(i) => self.given[*i],
            U::Loaded(index) => self.input[(self.u(frame, index) % 16) as usize],
            U::Private => self.private,
            U::Element(index) => frame.elements[(self.u(frame, index) % 4) as usize],
            U::ElementAt(index) => frame.elements[*index],
            U::Component(index) => frame.vector[(self.u(frame, index) & 3) as usize],
            U::Of(code, of) => {
                let division = matches!(code, Binary::Div | Binary::Rem | Binary::SignedDiv | Binary::SignedRem);
                let b = match &of[1] {
                    U::Known(0) if division => self.given[0],
                    b => self.u(frame, b),
                };
                let a = self.u(frame, &of[0]);
                let [signed_a, signed_b] = [a as i32, b as i32];
                match code {
                    Binary::Add => a.wrapping_add(b),
                    Binary::Sub => a.wrapping_sub(b),
                    Binary::Mul => a.wrapping_mul(b),
                    Binary::Div => a.checked_div(b).unwrap_or(a),
                    Binary::Rem => a.checked_rem(b).unwrap_or(0),
                    Binary::And => a & b,
                    Binary::Or => a | b,
                    Binary::Xor => a ^ b,
                    Binary::Left => a.wrapping_shl(b),
                    Binary::Right => a.wrapping_shr(b),
                    Binary::Min => a.min(b),
                    Binary::Max => a.max(b),
                    Binary::SignedDiv if b == 0 => a,
                    Binary::SignedDiv => signed_a.wrapping_div(signed_b) as u32,
                    Binary::SignedRem if b == 0 => 0,
                    Binary::SignedRem => signed_a.wrapping_rem(signed_b) as u32,
                    Binary::SignedRight => signed_a.wrapping_shr(b) as u32,
                    Binary::SignedMax => signed_a.max(signed_b) as u32,
                }
            }
            U::Select(of) => {
                if self.c(frame, &of.0) {
                    self.u(frame, &of.1)
                } else {
                    self.u(frame, &of.2)
                }
            }
            U::Float(float) => self.f(frame, float) as u32,
        }
    }

    fn f(&self, frame: &Frame, expression: &F) -> f32 {
        let f = |of: &F| self.f(frame, of);
        match expression {
            F::Known(i) => FLOATS[*i],
            F::Variable(i) => frame.f[*i],
            F::From(of) => self.u(frame, of) as f32,
            F::Add(of) => f(&of[0]) + f(&of[1]),
            F::Sub(of) => f(&of[0]) - f(&of[1]),
            F::Mul(of) => f(&of[0]) * f(&of[1]),
            F::Min(of) => f(&of[0]).min(f(&of[1])),
            F::Max(of) => f(&of[0]).max(f(&of[1])),
            F::Fma(of) if self.fused => f(&of[0]).mul_add(f(&of[1]), f(&of[2])),
            F::Fma(of) => f(&of[0]) * f(&of[1]) + f(&of[2]),
            F::Negated(of) => -f(of),
            F::Floor(of) => f(of).floor(),
        }
    }

    fn c(&self, frame: &Frame, condition: &C) -> bool {
        let u = |of: &U| self.u(frame, of);
        match condition {
            C::Less(of) => u(&of[0]) < u(&of[1]),
            C::AtMost(of) => u(&of[0]) <= u(&of[1]),
            C::Equal(of) => u(&of[0]) == u(&of[1]),
            C::SignedGreater(of) => u(&of[0]) as i32 > u(&of[1]) as i32,
            C::FloatLess(of) => self.f(frame, &of[0]) < self.f(frame, &of[1]),
            C::And(of) => self.c(frame, &of[0]) && self.c(frame, &of[1]),
            C::Or(of) => self.c(frame, &of[0]) || self.c(frame, &of[1]),
            C::Not(of) => !self.c(frame, of),
        }
    }

    fn block(&mut self, frame: &mut Frame, block: &[S]) -> Flow {
        for statement in block {
            let flow = self.s(frame, statement);
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    fn s(&mut self, frame: &mut Frame, statement: &S) -> Flow {
        match statement {
            S::Set(i, value) => frame.u[*i] = self.u(frame, value),
            S::SetFloat(i, value) => frame.f[*i] = self.f(frame, value),
            S::SetElement(i, value) => {
                frame.elements[(self.u(frame, i) % 4) as usize] = self.u(frame, value);
            }
            S::SetComponent(i, value) => {
                frame.vector[(self.u(frame, i) & 3) as usize] = self.u(frame, value);
            }
            S::SetPrivate(value) => self.private = self.u(frame, value),
            S::If(condition, accept, reject) => {
                let block = if self.c(frame, condition) { accept } else { reject };
                return self.block(frame, block);
            }
            S::For(i, bound, body) => {
                frame.counters[*i] = 0;
                while frame.counters[*i] < self.u(frame, bound) {
                    match self.block(frame, body) {
                        Flow::Break => break,
                        Flow::Return(value) => return Flow::Return(value),
                        Flow::Next | Flow::Continue => {}
                    }
                    frame.counters[*i] += 1;
                }
            }
            S::While(i, bound, body) => {
                frame.counters[*i] = 0;
                while frame.counters[*i] < self.u(frame, bound) {
                    frame.counters[*i] += 1;
                    match self.block(frame, body) {
                        Flow::Break => break,
                        Flow::Return(value) => return Flow::Return(value),
                        Flow::Next | Flow::Continue => {}
                    }
                }
            }
            S::Loop(i, bound, body, last) => {
                frame.counters[*i] = 0;
                loop {
                    match self.block(frame, body) {
                        Flow::Break => break,
                        Flow::Return(value) => return Flow::Return(value),
                        Flow::Next | Flow::Continue => {}
                    }
                    self.s(frame, last);
                    frame.counters[*i] += 1;
                    if frame.counters[*i] >= self.u(frame, bound) {
                        break;
                    }
                }
            }
            S::Switch(selector, cases, default) => {
                let selector = self.u(frame, selector);
                let found = cases.iter().find(|(values, _)| values.contains(&selector));
                let (_, body) = found.unwrap_or(&cases[*default]);
                match self.block(frame, body) {
                    Flow::Break | Flow::Next => {}
                    flow => return flow,
                }
            }
            S::Call(i, function, argument, pointer) => {
                let functions = self.functions;
                let argument = self.u(frame, argument);
                let mut of_call = self.frame(argument, frame.u[*pointer], frame.counters.len());
                let result = match self.block(&mut of_call, &functions[*function]) {
                    Flow::Return(value) => value,
                    _ => {
                        let [a, b, c, d, _] = of_call.u;
                        a.wrapping_add(b) ^ c.wrapping_add(d)
                    }
                };
                frame.u[*pointer] = of_call.u[4];
                frame.u[*i] = result;
            }
            S::Block(i, value, body) => {
                let value = self.u(frame, value);
                let hidden = std::mem::replace(&mut frame.u[*i], value);
                let flow = self.block(frame, body);
                frame.u[*i] = hidden;
                return flow;
            }
            S::Break => return Flow::Break,
            S::Continue => return Flow::Continue,
            S::Return(value) => return Flow::Return(self.u(frame, value)),
        }
        Flow::Next
    }
}

/// Whether words are equal, any NaN being equal to any other.
fn equal(a: u32, b: u32, float: bool) -> bool {
    a == b || (float && f32::from_bits(a).is_nan() && f32::from_bits(b).is_nan())
}

/// Runs a random shader, and compares every word of every invocation.
fn check(seed: u64, statements: usize) {
    let mut maker = Maker { state: seed, counters: 0, functions: 0, in_function: true };
    let mut functions = Vec::new();
    for function in 0..2 {
        maker.functions = function;
        functions.push((0..1 + statements / 4).map(|_| maker.s(&Inside::default())).collect::<Vec<S>>());
    }
    maker.functions = 2;
    maker.in_function = false;
    functions.push((0..statements).map(|_| maker.s(&Inside::default())).collect());
    let fused = seed & 1 == 1;
    let given = [maker.below(6) as u32, maker.below(1000) as u32, 3, 0x8000_0001];
    let input: Vec<u32> = (0..16).map(|i: u32| i.wrapping_mul(0x9e37_79b9) >> (2 * i)).collect();
    let initial = vec![77; WORDS * (LANES * GROUPS) as usize];

    let text = shader_text(&functions);
    let shader = shader(&text);
    let buffers: [(&str, &[u32]); 3] = [("given", &given), ("input", &input), ("output", &initial)];
    let dispatch = bound(&shader, [GROUPS, 1, 1], &buffers)
        .fma(if fused { Fma::Fused } else { Fma::Separate })
        .most_iterations(10_000);
    let report = dispatch.clone().run().unwrap();
    assert_eq!(report.faults, [], "{text}");
    let got = words(&report, "output");
    for group in 0..GROUPS {
        for lane in 0..LANES {
            let mut of_lane = Lane { functions: &functions, fused, given, input: &input, lane, group, private: 9 };
            let mut frame = of_lane.frame(5, 0, maker.counters);
            let at = WORDS * (group * LANES + lane) as usize;
            let mut expected = [77; WORDS];
            if of_lane.block(&mut frame, &functions[2]) == Flow::Next {
                expected[..4].copy_from_slice(&frame.u[..4]);
                expected[4..8].copy_from_slice(&frame.elements);
                expected[8..12].copy_from_slice(&frame.vector);
                expected[12] = of_lane.private;
                expected[13] = frame.f[0].to_bits();
                expected[14] = frame.f[1].to_bits();
            }
            for word in 0..WORDS {
                let (got, expected) = (got[at + word], expected[word]);
                assert!(
                    equal(got, expected, (13..15).contains(&word)),
                    "word {word} of lane {lane} of group {group} is {got}, expected {expected}\n{text}"
                );
            }
        }
    }
    let counted = dispatch.counts_only().run().unwrap();
    assert_eq!(counted.faults, [], "{text}");
    assert_eq!(counted.counts, report.counts, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// All lanes of a random shader get the values that they get alone.
    #[test]
    fn random_control_flow_gives_each_lane_its_own_values(seed: u64, statements in 1..12_usize) {
        check(seed, statements);
    }
}

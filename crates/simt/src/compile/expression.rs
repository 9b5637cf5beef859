//! Expressions.

use super::{Compiler, Context};
use crate::arithmetic::Code;
use crate::code::{Count, Op, Val};
use crate::error::{Error, Result};
use crate::layout::{Kind, Layout, kind};
use naga::{Arena, BinaryOperator, Expression, Handle, MathFunction, UnaryOperator};
use std::rc::Rc;

/// The value of an expression.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// The scalars of a value.
    Data {
        layout: Rc<Layout>,
        scalars: Vec<Val>,
    },
    Pointer(Place),
}

/// A module-scope variable: memory, or the slots of a private one.
#[derive(Debug, Clone)]
pub(super) enum Root {
    Variable(usize, Rc<Layout>),
    Slots(usize, Rc<Layout>),
}

/// The run-time part of a place in memory: an index, the words that it steps over, and the number of elements.
#[derive(Debug, Clone, Copy)]
pub(super) struct Index {
    pub(super) index: Val,
    pub(super) stride: u32,
    pub(super) count: Count,
}

/// The run-time part of a place in a private array.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotIndex {
    pub(super) index: Val,
    pub(super) stride: u32,
    pub(super) count: u32,
    /// First slot of the array.
    pub(super) base: usize,
}

/// What a pointer points to.
#[derive(Debug, Clone)]
pub(super) enum Place {
    Slots { first: usize, layout: Rc<Layout>, index: Option<SlotIndex> },
    Memory { variable: usize, word: u32, index: Option<Index>, layout: Rc<Layout> },
}

impl Value {
    pub(super) fn new(layout: Rc<Layout>, scalars: Vec<Val>) -> Self {
        Value::Data { layout, scalars }
    }

    fn scalar(kind: Kind, val: Val) -> Self {
        Value::new(Rc::new(Layout::Scalar(kind)), vec![val])
    }

    pub(super) fn scalars(self) -> Result<Vec<Val>> {
        match self {
            Value::Data { scalars, .. } => Ok(scalars),
            Value::Pointer(_) => Err(Error::Unknown { what: "a pointer as a value".into() }),
        }
    }

    fn data(self) -> Result<(Rc<Layout>, Vec<Val>)> {
        match self {
            Value::Data { layout, scalars } => Ok((layout, scalars)),
            Value::Pointer(_) => Err(Error::Unknown { what: "a pointer as a value".into() }),
        }
    }

    /// The slots that a pointer may write.
    pub(super) fn slots(&self) -> Vec<usize> {
        match self {
            Value::Pointer(Place::Slots { index: Some(index), .. }) => {
                (index.base..index.base + (index.count * index.stride) as usize).collect()
            }
            Value::Pointer(Place::Slots { first, layout, .. }) => {
                (*first..*first + layout.scalars() as usize).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn unknown<T>(what: impl Into<String>) -> Result<T> {
    Err(Error::Unknown { what: what.into() })
}

impl<'m> Compiler<'m> {
    /// The value of an expression that is emitted before, or that needs no emission.
    pub(super) fn value(&mut self, context: &mut Context<'m>, handle: Handle<Expression>) -> Result<Value> {
        match context.values.get(&handle) {
            Some(value) => Ok(value.clone()),
            None => self.expression(context, handle),
        }
    }

    pub(super) fn scalar(&mut self, context: &mut Context<'m>, handle: Handle<Expression>) -> Result<Val> {
        match self.value(context, handle)?.scalars()?[..] {
            [val] => Ok(val),
            _ => unknown("a composite as a scalar"),
        }
    }

    pub(super) fn texture(&mut self, context: &Context<'m>, image: Handle<Expression>) -> Result<usize> {
        if let Expression::GlobalVariable(global) = context.function.expressions[image]
            && let Some(Root::Variable(variable, _)) = self.globals.get(&global)
        {
            return Ok(*variable);
        }
        unknown("a texture that is not a variable")
    }

    /// The value of a constant expression.
    pub(super) fn constant(&mut self, arena: &Arena<Expression>, handle: Handle<Expression>) -> Result<Value> {
        Ok(match &arena[handle] {
            Expression::Literal(literal) => self.literal(*literal)?,
            Expression::Constant(constant) => {
                let module = self.module;
                self.constant(&module.global_expressions, module.constants[*constant].init)?
            }
            Expression::ZeroValue(ty) => self.zero(*ty)?,
            Expression::Compose { ty, components } => {
                let layout = self.layout(*ty)?;
                let mut scalars = Vec::new();
                for &component in components {
                    scalars.extend(self.constant(arena, component)?.scalars()?);
                }
                Value::new(layout, scalars)
            }
            Expression::Splat { size, value } => {
                let value = self.constant(arena, *value)?;
                splat(*size as u32, value)?
            }
            other => return unknown(format!("the constant expression {other:?}")),
        })
    }

    fn literal(&self, literal: naga::Literal) -> Result<Value> {
        Ok(match literal {
            naga::Literal::F32(value) => Value::scalar(Kind::Float, Val::Const(value.to_bits())),
            naga::Literal::U32(value) => Value::scalar(Kind::Unsigned, Val::Const(value)),
            naga::Literal::I32(value) => Value::scalar(Kind::Signed, Val::Const(value as u32)),
            naga::Literal::Bool(value) => Value::scalar(Kind::Bool, Val::Const(value.into())),
            other => return unknown(format!("the literal {other:?}")),
        })
    }

    fn zero(&mut self, ty: Handle<naga::Type>) -> Result<Value> {
        let layout = self.layout(ty)?;
        super::few_scalars(&layout)?;
        let scalars = vec![Val::Const(0); layout.scalars() as usize];
        Ok(Value::new(layout, scalars))
    }

    pub(super) fn expression(&mut self, context: &mut Context<'m>, handle: Handle<Expression>) -> Result<Value> {
        let function = context.function;
        match &function.expressions[handle] {
            Expression::Literal(_) | Expression::Constant(_) | Expression::ZeroValue(_) => {
                self.constant(&function.expressions, handle)
            }
            Expression::Compose { ty, components } => {
                let layout = self.layout(*ty)?;
                let mut scalars = Vec::new();
                for &component in components {
                    scalars.extend(self.value(context, component)?.scalars()?);
                }
                Ok(Value::new(layout, scalars))
            }
            Expression::Splat { size, value } => splat(*size as u32, self.value(context, *value)?),
            Expression::Swizzle { size, vector, pattern } => {
                let (layout, scalars) = self.value(context, *vector)?.data()?;
                let Some(kind) = layout.kind() else { return unknown("a swizzle of this type") };
                let size = *size as u32;
                let scalars = pattern[..size as usize].iter().map(|&part| scalars[part as usize]).collect();
                Ok(Value::new(Rc::new(Layout::Vector { size, kind }), scalars))
            }
            Expression::AccessIndex { base, index } => match self.value(context, *base)? {
                Value::Data { layout, scalars } => {
                    let Some((part, first, _)) = layout.part(*index) else { return unknown("an index out of range") };
                    let count = part.scalars() as usize;
                    Ok(Value::new(part, scalars[first as usize..first as usize + count].to_vec()))
                }
                Value::Pointer(place) => Ok(Value::Pointer(self.step(place, *index)?)),
            },
            Expression::Access { base, index } => {
                let line = self.line_of(function.expressions.get_span(handle));
                let index = self.scalar(context, *index)?;
                match self.value(context, *base)? {
                    Value::Data { layout, scalars } => self.select(&layout, &scalars, index, line),
                    Value::Pointer(place) => {
                        let stores = context.targets.contains(&handle);
                        Ok(Value::Pointer(self.index(place, index, stores, line)?))
                    }
                }
            }
            Expression::FunctionArgument(index) => Ok(context.arguments[*index as usize].clone()),
            Expression::GlobalVariable(global) => match self.globals.get(global) {
                Some(Root::Variable(variable, layout)) => {
                    let (variable, layout) = (*variable, layout.clone());
                    Ok(Value::Pointer(Place::Memory { variable, word: 0, index: None, layout }))
                }
                Some(Root::Slots(first, layout)) => {
                    Ok(Value::Pointer(Place::Slots { first: *first, layout: layout.clone(), index: None }))
                }
                None => unknown("this variable"),
            },
            Expression::LocalVariable(local) => match context.locals.get(local) {
                Some((first, layout)) => {
                    Ok(Value::Pointer(Place::Slots { first: *first, layout: layout.clone(), index: None }))
                }
                None => unknown("this variable"),
            },
            Expression::Load { pointer } => {
                let span = function.expressions.get_span(handle);
                if span.is_defined() {
                    self.line = self.line_of(span);
                }
                match self.value(context, *pointer)? {
                    Value::Pointer(place) => self.load(&place),
                    Value::Data { .. } => unknown("a load from a value"),
                }
            }
            Expression::ImageLoad { image, coordinate, array_index: None, sample: None, level } => {
                if let Some(level) = level
                    && self.scalar(context, *level)? != Val::Const(0)
                {
                    return unknown("textureLoad of another level than 0");
                }
                let variable = self.texture(context, *image)?;
                let [x, y] = self.value(context, *coordinate)?.scalars()?[..] else {
                    return unknown("textureLoad from this texture");
                };
                let span = function.expressions.get_span(handle);
                if span.is_defined() {
                    self.line = self.line_of(span);
                }
                let (to, line) = (self.builder.consecutive(4), self.line);
                self.builder.push(Op::TexelLoad { variable, at: [x, y], to, line });
                let layout = Rc::new(Layout::Vector { size: 4, kind: Kind::Float });
                Ok(Value::new(layout, (to..to + 4).map(Val::Reg).collect()))
            }
            Expression::Unary { op, expr } => {
                let (layout, scalars) = self.value(context, *expr)?.data()?;
                let code = match (op, layout.kind()) {
                    (UnaryOperator::Negate, Some(Kind::Float)) => Code::FNeg,
                    (UnaryOperator::Negate, _) => Code::INeg,
                    (UnaryOperator::LogicalNot, _) => Code::LogicalNot,
                    (UnaryOperator::BitwiseNot, _) => Code::Not,
                };
                Ok(self.map(layout, &[scalars], code))
            }
            Expression::Binary { op, left, right } => {
                let left = self.value(context, *left)?.data()?;
                let right = self.value(context, *right)?.data()?;
                self.binary(*op, left, right)
            }
            Expression::Select { condition, accept, reject } => {
                let (_, condition) = self.value(context, *condition)?.data()?;
                let (layout, accept) = self.value(context, *accept)?.data()?;
                let reject = self.value(context, *reject)?.scalars()?;
                let scalars = (0..accept.len()).map(|i| {
                    let condition = if condition.len() == 1 { condition[0] } else { condition[i] };
                    self.builder.compute(Code::Select, &[condition, accept[i], reject[i]])
                });
                Ok(Value::new(layout, scalars.collect()))
            }
            Expression::Relational { fun, argument } => {
                let (layout, scalars) = self.value(context, *argument)?.data()?;
                match fun {
                    naga::RelationalFunction::All | naga::RelationalFunction::Any => {
                        let code = if *fun == naga::RelationalFunction::All { Code::And } else { Code::Or };
                        let all = scalars.into_iter().reduce(|a, b| self.builder.compute(code, &[a, b]));
                        Ok(Value::scalar(Kind::Bool, all.unwrap_or(Val::Const(0))))
                    }
                    naga::RelationalFunction::IsNan => {
                        Ok(self.map(of_bool(&layout), &[scalars.clone(), scalars], Code::FNe))
                    }
                    naga::RelationalFunction::IsInf => {
                        let inf = vec![Val::Const(f32::INFINITY.to_bits()); scalars.len()];
                        let Value::Data { scalars, .. } = self.map(layout.clone(), &[scalars], Code::FAbs) else {
                            return unknown("isInf of this type");
                        };
                        Ok(self.map(of_bool(&layout), &[scalars, inf], Code::FEq))
                    }
                }
            }
            Expression::Math { fun, arg, arg1, arg2, arg3 } => {
                let mut arguments = vec![self.value(context, *arg)?.data()?];
                for argument in [arg1, arg2, arg3].into_iter().flatten() {
                    arguments.push(self.value(context, *argument)?.data()?);
                }
                self.math(*fun, arguments)
            }
            Expression::As { expr, kind: to, convert } => {
                let (layout, scalars) = self.value(context, *expr)?.data()?;
                let to = kind(naga::Scalar { kind: *to, width: convert.unwrap_or(4) })?;
                self.convert(&layout, scalars, to, convert.is_some())
            }
            Expression::ArrayLength(pointer) => match self.value(context, *pointer)? {
                Value::Pointer(Place::Memory { variable, word, index: None, layout }) => match &*layout {
                    Layout::Array { stride, .. } => {
                        let to = self.builder.consecutive(1);
                        self.builder.push(Op::Length { to, variable, first: word, stride: *stride });
                        Ok(Value::scalar(Kind::Unsigned, Val::Reg(to)))
                    }
                    _ => unknown("arrayLength of this type"),
                },
                _ => unknown("arrayLength of this value"),
            },
            other => {
                let name = format!("{other:?}");
                let name = name.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
                let line = self.line_of(function.expressions.get_span(handle));
                unknown(format!("the expression {name} of line {line}"))
            }
        }
    }

    /// The element of a value at a run-time index: a chain of selections.
    fn select(&mut self, layout: &Layout, scalars: &[Val], index: Val, line: u32) -> Result<Value> {
        let Some(parts) = layout.parts() else { return unknown("an index into this type") };
        let count = parts.count.unwrap_or(0);
        let element = |i: u32| &scalars[(i * parts.scalars) as usize..((i + 1) * parts.scalars) as usize];
        if let Val::Const(index) = index
            && index < count
        {
            return Ok(Value::new(parts.layout, element(index).to_vec()));
        }
        self.builder.push(Op::Check {
            variable: None,
            index,
            count: Count::Fixed(count),
            stride: 1,
            stores: false,
            line,
        });
        let mut chosen = element(0).to_vec();
        for i in 1..count {
            let here = self.builder.compute(Code::IEq, &[index, Val::Const(i)]);
            for (chosen, &val) in chosen.iter_mut().zip(element(i)) {
                *chosen = self.builder.compute(Code::Select, &[here, val, *chosen]);
            }
        }
        Ok(Value::new(parts.layout, chosen))
    }

    /// The part of a place with a constant index.
    fn step(&mut self, place: Place, by: u32) -> Result<Place> {
        let layout = match &place {
            Place::Slots { layout, .. } | Place::Memory { layout, .. } => layout.clone(),
        };
        let Some((part, scalars, words)) = layout.part(by) else {
            return unknown(format!("a constant index of {by} in line {}", self.line));
        };
        Ok(match place {
            Place::Slots { first, index, .. } => Place::Slots { first: first + scalars as usize, layout: part, index },
            Place::Memory { variable, word, index, .. } => {
                Place::Memory { variable, word: word + words, index, layout: part }
            }
        })
    }

    /// The part of a place with a run-time index.
    fn index(&mut self, place: Place, by: Val, stores: bool, line: u32) -> Result<Place> {
        let layout = match &place {
            Place::Slots { layout, .. } | Place::Memory { layout, .. } => layout.clone(),
        };
        let Some(parts) = layout.parts() else { return unknown("an index into this type") };
        // An index that is constant after unrolling, and in range.
        if let (Val::Const(by), Some(count)) = (by, parts.count)
            && by < count
        {
            return self.step(place, by);
        }
        Ok(match place {
            Place::Slots { first, index: None, .. } => {
                let count = parts.count.unwrap_or(0);
                let index = SlotIndex { index: by, stride: parts.scalars, count, base: first };
                Place::Slots { first, layout: parts.layout, index: Some(index) }
            }
            Place::Slots { first, index: Some(outer), .. } => {
                // Both indices become one, over the scalars of the outer array.
                let scaled = self.builder.compute(Code::IMul, &[outer.index, Val::Const(outer.stride)]);
                let inner = self.builder.compute(Code::IMul, &[by, Val::Const(parts.scalars)]);
                let count = parts.count.unwrap_or(0);
                let inside = self.builder.compute(Code::ULt, &[by, Val::Const(count)]);
                let sum = self.builder.compute(Code::IAdd, &[scaled, inner]);
                // An inner index out of range makes the whole index so.
                let sum = self.builder.compute(Code::Select, &[inside, sum, Val::Const(u32::MAX)]);
                let index = SlotIndex { index: sum, stride: 1, count: outer.count * outer.stride, base: outer.base };
                Place::Slots { first, layout: parts.layout, index: Some(index) }
            }
            Place::Memory { variable, word, index, .. } => {
                let count = parts.count.map_or(Count::Runtime { first: word }, Count::Fixed);
                let index = match index {
                    None => Index { index: by, stride: parts.words, count },
                    Some(outer) => {
                        for (index, stride, count) in
                            [(outer.index, outer.stride, outer.count), (by, parts.words, count)]
                        {
                            // The parts of an index of several parts are checked already.
                            if count != Count::Checked {
                                let variable = Some(variable);
                                self.builder.push(Op::Check { variable, index, count, stride, stores, line });
                            }
                        }
                        let scaled = self.builder.compute(Code::IMul, &[outer.index, Val::Const(outer.stride)]);
                        let inner = self.builder.compute(Code::IMul, &[by, Val::Const(parts.words)]);
                        let sum = self.builder.compute(Code::IAdd, &[scaled, inner]);
                        Index { index: sum, stride: 1, count: Count::Checked }
                    }
                };
                Place::Memory { variable, word, index: Some(index), layout: parts.layout }
            }
        })
    }

    /// Applies an operation to each component.
    fn map(&mut self, layout: Rc<Layout>, operands: &[Vec<Val>], code: Code) -> Value {
        let count = layout.scalars() as usize;
        let scalars = (0..count).map(|i| {
            let from: Vec<Val> = operands.iter().map(|o| if o.len() == 1 { o[0] } else { o[i] }).collect();
            self.builder.compute(code, &from)
        });
        Value::new(layout, scalars.collect())
    }

    fn binary(
        &mut self,
        op: BinaryOperator,
        (left_layout, left): (Rc<Layout>, Vec<Val>),
        (right_layout, right): (Rc<Layout>, Vec<Val>),
    ) -> Result<Value> {
        if op == BinaryOperator::Multiply
            && let Some(product) = self.matrix_product(&left_layout, &left, &right_layout, &right)
        {
            return Ok(product);
        }
        let Some(kind) = left_layout.kind() else { return unknown(format!("{op:?} of this type")) };
        // Of a scalar and a vector.
        let layout = if left.len() >= right.len() { left_layout } else { right_layout };
        let (float, signed) = (kind == Kind::Float, kind == Kind::Signed);
        let by_kind = |of_float, of_signed, of_unsigned| {
            if float {
                of_float
            } else if signed {
                of_signed
            } else {
                of_unsigned
            }
        };
        let (code, swapped) = match op {
            BinaryOperator::Add => (by_kind(Code::FAdd, Code::IAdd, Code::IAdd), false),
            BinaryOperator::Subtract => (by_kind(Code::FSub, Code::ISub, Code::ISub), false),
            BinaryOperator::Multiply => (by_kind(Code::FMul, Code::IMul, Code::IMul), false),
            BinaryOperator::Divide => (by_kind(Code::FDiv, Code::SDiv, Code::UDiv), false),
            BinaryOperator::Modulo => (by_kind(Code::FRem, Code::SRem, Code::URem), false),
            BinaryOperator::Equal => (by_kind(Code::FEq, Code::IEq, Code::IEq), false),
            BinaryOperator::NotEqual => (by_kind(Code::FNe, Code::INe, Code::INe), false),
            BinaryOperator::Less => (by_kind(Code::FLt, Code::SLt, Code::ULt), false),
            BinaryOperator::LessEqual => (by_kind(Code::FLe, Code::SLe, Code::ULe), false),
            BinaryOperator::Greater => (by_kind(Code::FLt, Code::SLt, Code::ULt), true),
            BinaryOperator::GreaterEqual => (by_kind(Code::FLe, Code::SLe, Code::ULe), true),
            BinaryOperator::And | BinaryOperator::LogicalAnd => (Code::And, false),
            BinaryOperator::InclusiveOr | BinaryOperator::LogicalOr => (Code::Or, false),
            BinaryOperator::ExclusiveOr => (Code::Xor, false),
            BinaryOperator::ShiftLeft => (Code::ShiftLeft, false),
            BinaryOperator::ShiftRight => (if signed { Code::ShiftRightSigned } else { Code::ShiftRight }, false),
        };
        let compares = matches!(
            op,
            BinaryOperator::Equal
                | BinaryOperator::NotEqual
                | BinaryOperator::Less
                | BinaryOperator::LessEqual
                | BinaryOperator::Greater
                | BinaryOperator::GreaterEqual
        );
        let layout = if compares { of_bool(&layout) } else { layout };
        let operands = if swapped { [right, left] } else { [left, right] };
        Ok(self.map(layout, &operands, code))
    }

    /// The product of a matrix with a matrix or a vector. `None` for other operands.
    fn matrix_product(&mut self, a: &Layout, left: &[Val], b: &Layout, right: &[Val]) -> Option<Value> {
        // Columns of vectors: a vector on the left is a row.
        let (rows, inner, columns) = match (a, b) {
            (Layout::Matrix { columns, rows }, Layout::Matrix { columns: of_right, .. }) => {
                (*rows, *columns, *of_right)
            }
            (Layout::Matrix { columns, rows }, Layout::Vector { .. }) => (*rows, *columns, 1),
            (Layout::Vector { size, .. }, Layout::Matrix { columns, .. }) => (1, *size, *columns),
            _ => return None,
        };
        let mut scalars = Vec::new();
        for column in 0..columns {
            for row in 0..rows {
                let term = |i: u32| [left[(i * rows + row) as usize], right[(column * inner + i) as usize]];
                let mut sum = self.builder.compute(Code::FMul, &term(0));
                for i in 1..inner {
                    let [a, b] = term(i);
                    sum = self.builder.compute(Code::Fma, &[a, b, sum]);
                }
                scalars.push(sum);
            }
        }
        let layout = match (rows, columns) {
            (1, size) | (size, 1) => Layout::Vector { size, kind: Kind::Float },
            (rows, columns) => Layout::Matrix { columns, rows },
        };
        Some(Value::new(Rc::new(layout), scalars))
    }

    fn convert(&mut self, layout: &Rc<Layout>, scalars: Vec<Val>, to: Kind, convert: bool) -> Result<Value> {
        let Some(from) = layout.kind() else { return unknown("a conversion of this type") };
        let new = Rc::new(match **layout {
            Layout::Vector { size, .. } => Layout::Vector { size, kind: to },
            Layout::Scalar(_) => Layout::Scalar(to),
            _ => return Ok(Value::new(layout.clone(), scalars)),
        });
        if !convert || from == to {
            return Ok(Value::new(new, scalars));
        }
        let convert = |scalar: Val| match (from, to) {
            (Kind::Float, Kind::Unsigned) => self.builder.compute(Code::FloatToUnsigned, &[scalar]),
            (Kind::Float, Kind::Signed) => self.builder.compute(Code::FloatToSigned, &[scalar]),
            (Kind::Unsigned, Kind::Float) => self.builder.compute(Code::UnsignedToFloat, &[scalar]),
            (Kind::Signed, Kind::Float) => self.builder.compute(Code::SignedToFloat, &[scalar]),
            (Kind::Bool, Kind::Float) => {
                let one = Val::Const(1.0_f32.to_bits());
                self.builder.compute(Code::Select, &[scalar, one, Val::Const(0)])
            }
            (Kind::Float, Kind::Bool) => self.builder.compute(Code::FNe, &[scalar, Val::Const(0)]),
            (_, Kind::Bool) => self.builder.compute(Code::INe, &[scalar, Val::Const(0)]),
            _ => scalar,
        };
        Ok(Value::new(new, scalars.into_iter().map(convert).collect()))
    }

    fn dot(&mut self, a: &[Val], b: &[Val], kind: Option<Kind>) -> Val {
        let float = kind == Some(Kind::Float);
        let mut terms = a.iter().zip(b);
        let Some((&a, &b)) = terms.next() else { return Val::Const(0) };
        let mut sum = self.builder.compute(if float { Code::FMul } else { Code::IMul }, &[a, b]);
        for (&a, &b) in terms {
            sum = if float {
                self.builder.compute(Code::Fma, &[a, b, sum])
            } else {
                let product = self.builder.compute(Code::IMul, &[a, b]);
                self.builder.compute(Code::IAdd, &[sum, product])
            };
        }
        sum
    }

    fn math(&mut self, fun: MathFunction, arguments: Vec<(Rc<Layout>, Vec<Val>)>) -> Result<Value> {
        let layout = arguments[0].0.clone();
        let kind = layout.kind();
        let (float, signed) = (kind == Some(Kind::Float), kind == Some(Kind::Signed));
        let operands: Vec<Vec<Val>> = arguments.into_iter().map(|(_, scalars)| scalars).collect();
        let by_kind = |of_float, of_signed, of_unsigned| {
            if float {
                of_float
            } else if signed {
                of_signed
            } else {
                of_unsigned
            }
        };
        let least = by_kind(Code::FMin, Code::SMin, Code::UMin);
        let most = by_kind(Code::FMax, Code::SMax, Code::UMax);
        let one = Val::Const(1.0_f32.to_bits());
        let code = match fun {
            MathFunction::Abs if !float && !signed => return Ok(Value::new(layout, operands[0].clone())),
            MathFunction::Abs => by_kind(Code::FAbs, Code::IAbs, Code::IAbs),
            MathFunction::Min => least,
            MathFunction::Max => most,
            MathFunction::Clamp => {
                let raised = self.map(layout.clone(), &operands[..2], most).scalars()?;
                return Ok(self.map(layout, &[raised, operands[2].clone()], least));
            }
            MathFunction::Saturate => {
                let raised =
                    self.map(layout.clone(), &[operands[0].clone(), vec![Val::Const(0)]], Code::FMax).scalars()?;
                return Ok(self.map(layout, &[raised, vec![one]], Code::FMin));
            }
            MathFunction::Sign => by_kind(Code::FSign, Code::SSign, Code::SSign),
            MathFunction::Floor => Code::FFloor,
            MathFunction::Ceil => Code::FCeil,
            MathFunction::Round => Code::FRound,
            MathFunction::Trunc => Code::FTrunc,
            MathFunction::Fract => {
                let floor = self.map(layout.clone(), &operands, Code::FFloor).scalars()?;
                return Ok(self.map(layout, &[operands[0].clone(), floor], Code::FSub));
            }
            MathFunction::Sqrt => Code::FSqrt,
            MathFunction::InverseSqrt => Code::FInverseSqrt,
            MathFunction::Exp => Code::FExp,
            MathFunction::Exp2 => Code::FExp2,
            MathFunction::Log => Code::FLog,
            MathFunction::Log2 => Code::FLog2,
            MathFunction::Pow => Code::FPow,
            MathFunction::Sin => Code::FSin,
            MathFunction::Cos => Code::FCos,
            MathFunction::Tan => Code::FTan,
            MathFunction::Sinh => Code::FSinh,
            MathFunction::Cosh => Code::FCosh,
            MathFunction::Tanh => Code::FTanh,
            MathFunction::Asin => Code::FAsin,
            MathFunction::Acos => Code::FAcos,
            MathFunction::Atan => Code::FAtan,
            MathFunction::Atan2 => Code::FAtan2,
            MathFunction::Asinh => Code::FAsinh,
            MathFunction::Acosh => Code::FAcosh,
            MathFunction::Atanh => Code::FAtanh,
            MathFunction::Ldexp => Code::Ldexp,
            MathFunction::Fma => Code::Fma,
            MathFunction::CountOneBits => Code::CountOnes,
            MathFunction::CountLeadingZeros => Code::LeadingZeros,
            MathFunction::CountTrailingZeros => Code::TrailingZeros,
            MathFunction::ReverseBits => Code::ReverseBits,
            MathFunction::FirstTrailingBit => Code::FirstTrailing,
            MathFunction::FirstLeadingBit if signed => Code::FirstLeadingSigned,
            MathFunction::FirstLeadingBit => Code::FirstLeadingUnsigned,
            MathFunction::ExtractBits if signed => Code::ExtractSigned,
            MathFunction::ExtractBits => Code::ExtractUnsigned,
            MathFunction::Radians | MathFunction::Degrees => {
                let by = if fun == MathFunction::Radians { 1.0_f32.to_radians() } else { 1.0_f32.to_degrees() };
                return Ok(self.map(layout, &[operands[0].clone(), vec![Val::Const(by.to_bits())]], Code::FMul));
            }
            MathFunction::Mix => {
                let rest = self.map(layout.clone(), &[vec![one], operands[2].clone()], Code::FSub);
                let rest = rest.scalars().unwrap_or_default();
                let first = self.map(layout.clone(), &[operands[0].clone(), rest], Code::FMul).scalars()?;
                return Ok(self.map(layout, &[operands[1].clone(), operands[2].clone(), first], Code::Fma));
            }
            MathFunction::Step => {
                let there = self.map(of_bool(&layout), &operands[..2], Code::FLe).scalars()?;
                return Ok(self.map(layout, &[there, vec![one], vec![Val::Const(0)]], Code::Select));
            }
            MathFunction::Dot => {
                let val = self.dot(&operands[0], &operands[1], kind);
                return Ok(Value::scalar(kind.unwrap_or(Kind::Float), val));
            }
            MathFunction::Length | MathFunction::Normalize | MathFunction::Distance => {
                let vector = match fun {
                    MathFunction::Distance => self.map(layout.clone(), &operands, Code::FSub).scalars()?,
                    _ => operands[0].clone(),
                };
                let square = self.dot(&vector, &vector, kind);
                if fun == MathFunction::Normalize {
                    let inverse = self.builder.compute(Code::FInverseSqrt, &[square]);
                    return Ok(self.map(layout, &[vector, vec![inverse]], Code::FMul));
                }
                return Ok(Value::scalar(Kind::Float, self.builder.compute(Code::FSqrt, &[square])));
            }
            MathFunction::Cross => {
                let [a, b] = [&operands[0], &operands[1]];
                let part = |i: usize, j: usize| {
                    let back = self.builder.compute(Code::FMul, &[a[j], b[i]]);
                    let front = self.builder.compute(Code::FMul, &[a[i], b[j]]);
                    self.builder.compute(Code::FSub, &[front, back])
                };
                let scalars = [(1, 2), (2, 0), (0, 1)].into_iter().map({
                    let mut part = part;
                    move |(i, j)| part(i, j)
                });
                return Ok(Value::new(layout, scalars.collect()));
            }
            other => return unknown(format!("the function {other:?}")),
        };
        Ok(self.map(layout, &operands, code))
    }
}

fn of_bool(layout: &Layout) -> Rc<Layout> {
    Rc::new(match layout {
        Layout::Vector { size, .. } => Layout::Vector { size: *size, kind: Kind::Bool },
        _ => Layout::Scalar(Kind::Bool),
    })
}

fn splat(size: u32, value: Value) -> Result<Value> {
    let (layout, scalars) = value.data()?;
    match (layout.kind(), &scalars[..]) {
        (Some(kind), &[val]) => Ok(Value::new(Rc::new(Layout::Vector { size, kind }), vec![val; size as usize])),
        _ => unknown("a splat of this type"),
    }
}

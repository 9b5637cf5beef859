//! What follows a sum before it is stored, and the derivative that a gradient is multiplied by as it is loaded: constants,
//! bindings and parameters of the shaders that do it.

use super::pieces::{ContractPiece, CorrelatePiece, Piece};
use super::program::{Binding, Window};
use crate::geometry::{Activation, Residual};
use crate::lowering::{Activated, Contract, Correlate, Epilogue, Operand, Read, Role};

/// The value of the constants `ACTIVATION` and `DERIVATIVE`, and of the parameter `slope`.
pub(crate) fn code(activation: Activation) -> (u32, f32) {
    match activation {
        Activation::Identity => (0, 0.0),
        Activation::Relu => (1, 0.0),
        Activation::LeakyRelu(slope) => (2, slope),
        Activation::Silu => (3, 0.0),
        Activation::Gelu => (4, 0.0),
        Activation::Tanh => (5, 0.0),
        Activation::Sigmoid => (6, 0.0),
    }
}

/// Byte offsets in the parameters of a shader that stores.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreParams {
    pub(super) residual_base: usize,
    pub(super) pre_activation_base: usize,
    pub(super) has_pre_activation: usize,
}

/// Where the parameters of a shader have them.
macro_rules! store_params {
    ($params:ty) => {
        $crate::kernels::epilogue::StoreParams {
            residual_base: std::mem::offset_of!($params, residual_base),
            pre_activation_base: std::mem::offset_of!($params, pre_activation_base),
            has_pre_activation: std::mem::offset_of!($params, has_pre_activation),
        }
    };
}
pub(super) use store_params;

impl CorrelatePiece {
    /// What follows the sums of this piece: nothing, while they are not complete.
    fn epilogue(&self, c: &Correlate) -> Epilogue {
        if self.last { c.epilogue } else { Epilogue::default() }
    }

    /// Constants of a shader that stores.
    pub(super) fn store_constants(&self, c: &Correlate) -> [(&'static str, u32); 3] {
        let epilogue = self.epilogue(c);
        let residual = match epilogue.residual {
            Residual::None => 0,
            Residual::BeforeActivation => 1,
            Residual::AfterActivation => 2,
        };
        let pre_activation = epilogue.pre_activation.into();
        [("ACTIVATION", code(epilogue.activation).0), ("RESIDUAL", residual), ("PRE_ACTIVATION", pre_activation)]
    }

    /// Bindings of the residual and of what goes into the activation.
    pub(super) fn store_bindings(&self, c: &Correlate, params: StoreParams) -> [Binding; 2] {
        let epilogue = self.epilogue(c);
        let window = |used: bool| if used { self.output } else { Window::EMPTY };
        let residual = window(epilogue.residual != Residual::None);
        let pre_activation = window(epilogue.pre_activation);
        [
            Binding::new(Operand::Role(Role::Residual), residual, params.residual_base),
            Binding {
                present: Some(params.has_pre_activation),
                written: true,
                ..Binding::new(Operand::Role(Role::PreActivation), pre_activation, params.pre_activation_base)
            },
        ]
    }
}

impl Correlate {
    /// The parameter `slope`: of the activation, or of the one that the input goes back through.
    pub(super) fn slope(&self) -> f32 {
        let back = self.input.slope();
        if back == 0.0 { code(self.epilogue.activation).1 } else { back }
    }
}

impl Read {
    /// Constants of a shader that loads.
    pub(super) fn load_constants(&self) -> [(&'static str, u32); 2] {
        let derivative = self.activated.map_or(0, |a| code(a.activation).0);
        let saved_input = self.activated.is_some_and(|a| a.saved == Role::PreActivation);
        [("DERIVATIVE", derivative), ("SAVED_INPUT", saved_input.into())]
    }

    /// The binding of what the derivative is taken at, beside a window of what is read.
    pub(super) fn saved_binding(&self, window: Window, base: usize) -> Binding {
        match self.activated {
            Some(Activated { saved, .. }) => Binding::new(Operand::Role(saved), window, base),
            None => Binding::new(Operand::Role(Role::Output), Window::EMPTY, base),
        }
    }

    /// The parameter `slope`.
    pub(super) fn slope(&self) -> f32 {
        self.activated.map_or(0.0, |a| code(a.activation).1)
    }
}

impl Contract {
    /// Whether it is the narrow side that goes back through an activation; otherwise the wide one may.
    pub(super) fn narrow_activated(&self) -> bool {
        self.narrow.activated.is_some()
    }

    /// The side that may go back through an activation, its window in a piece, and where the piece starts in it.
    pub(super) fn gradient(&self, part: &ContractPiece) -> (Read, Window, u32) {
        let Piece { n, g, r, q, .. } = &part.piece;
        if self.narrow_activated() {
            (self.narrow, part.narrow, part.narrow.base(self.narrow_row(n.start, g.start, r.start)))
        } else {
            (self.wide, part.wide, part.wide.base(self.wide_row(n.start, g.start, q.start)))
        }
    }
}

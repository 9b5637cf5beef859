//! Parameter structs that Rust and WGSL share. Compiling a shader compares every field with naga's layout of the shader.

/// Name and byte offset of a field of a parameter struct.
pub(crate) type Field<'a> = (&'a str, usize);

/// Declares a parameter struct of 32-bit fields, in the order of the WGSL struct.
macro_rules! params {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        impl $name {
            pub(crate) const FIELDS: &'static [$crate::kernels::params::Field<'static>] =
                &[$((stringify!($field), std::mem::offset_of!($name, $field)),)*];
        }
    };
}
pub(crate) use params;

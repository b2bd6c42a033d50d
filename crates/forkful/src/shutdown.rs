//! stand-in
/// How.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// Wait.
    #[default]
    Wait,
    /// Cancel.
    Cancel,
    /// Detach.
    Detach,
}

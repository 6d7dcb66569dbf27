/// A parameter of the methods of public traits that only this crate may call: other
/// crates can't create one.
#[derive(Clone, Copy, Debug)]
pub struct Seal(());

pub(crate) const SEAL: Seal = Seal(());

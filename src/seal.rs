/// Asked for by the methods of public traits that this crate alone may call, because it alone can make one.
#[derive(Clone, Copy, Debug)]
pub struct Seal(());

pub(crate) const SEAL: Seal = Seal(());

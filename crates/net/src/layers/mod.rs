//! What every request passes before anyone looks at it, and what every answer gets.

mod doors;
mod forwarded;
mod headers;
mod origin;

pub use doors::{DoorError, Doors, DoorsError, DoorsOptions};
pub use forwarded::{TrustedProxies, network};
pub use headers::{secure, strict_transport};

//! Both programs as processes of their own, over real HTTP, as the gateway's tests use them.

#[cfg(test)]
mod harness;
#[cfg(test)]
mod lies;
#[cfg(test)]
mod login;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod sample_app;

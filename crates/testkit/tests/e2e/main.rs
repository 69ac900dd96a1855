//! Sallyport through its front door, as clients, operators and attackers meet it.
#![forbid(unsafe_code)]

mod attack;
mod bridge;
mod challenge;
mod commands;
mod crash;
mod everything;
mod front_door;
mod messages;
mod origins;
mod passing;
mod servers;
mod support;

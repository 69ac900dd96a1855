//! Sallyport through its front door, as clients, operators and attackers meet it.
#![forbid(unsafe_code)]

mod accounts;
#[cfg(test)]
mod apart;
mod api_keys;
#[cfg(test)]
mod approval;
#[cfg(test)]
mod asking;
mod attack;
mod bridge;
#[cfg(test)]
mod carried;
mod carriers;
mod census;
mod challenge;
mod checklist;
mod clients;
mod commands;
mod crash;
mod doctor;
mod everything;
mod exchange;
mod faults;
mod front_door;
mod ingress;
mod interleave;
mod isolation;
mod issuers;
mod load;
mod matrix;
mod messages;
mod origins;
mod outage;
mod passing;
mod provider;
mod recorded;
mod reload;
mod rotation;
mod rounds;
#[cfg(test)]
mod rules;
mod servers;
mod sessions;
#[cfg(test)]
mod spoken;
#[cfg(test)]
mod sse;
#[cfg(test)]
mod stdio;
mod stop;
mod support;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tcp;
mod transports;
mod turnout;
#[cfg(test)]
mod vault;
mod verify;
#[cfg(test)]
mod websocket;

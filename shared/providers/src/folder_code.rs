//! The code of the providers' folders: `<provider>/api.rs` and `<provider>/hook.rs`. The build script finds these files and writes a
//! module for each, the function [`api_of`] and the function [`hook_of`], so that no provider is listed in this crate.

use crate::api::Api;
use crate::hook::Hook;

include!(concat!(env!("OUT_DIR"), "/folder_code.rs"));

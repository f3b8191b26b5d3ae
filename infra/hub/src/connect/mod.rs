//! `hub connect`: walks a person through connecting an account. It says what to create at the provider, gets the credentials, stores
//! them in Secrets Manager, reads once, and says what it saw.
//!
//! `guide.rs` has the words, `input.rs` what is typed or piped, `oauth.rs` and `redirect.rs` the consent in a browser, `store.rs` the
//! comparison with what somebody else stored, `probe.rs` the read, and `webhooks.rs` the registration.

pub mod disconnect;
pub mod guide;
pub mod input;
pub mod oauth;
mod page;
pub mod probe;
pub mod redirect;
pub mod store;
pub mod webhooks;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use adapters::environment::PUBLIC_URL;
use clap::{Args, ValueEnum};
use providers::{Auth, AuthForm, Grant, Provider};
use sync::credential::Credential;
use sync::failure::Failure;
use sync::pause::{end_pauses_of_credentials, send_held};
use sync::ports::{Clock, Http, Queue, SecretVersions, Secrets, Store};
use sync::rotate::exchange::{Answer, CodeExchange, Exchange};
use sync::scopes::{missing_scopes, needed_scopes, split_scopes};

use self::guide::{Plan, SIGNING_SECRET, form};
use self::input::Input;
use self::oauth::Authorization;
use self::page::Page;
use self::probe::{Seen, read_once};
use self::redirect::{Arrival, Consent, Redirect, consent};
use self::store::Seen as SeenVersion;
use self::webhooks::Registration;
use crate::env::environment;
use crate::operate::open::HubArgs;
use crate::out::{CommandError, block_on, counted, print, print_line};
use crate::text::{WIDTH, cut, wrapped};

/// Arguments of `hub connect`.
#[derive(Debug, Args)]
#[command(after_help = "Keys and passwords are typed without echo, or piped on standard input; they are never arguments.")]
pub struct ConnectArgs {
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// The connection
    pub connection: String,
    /// The form of the credentials [default: the first one that the provider's manifest declares]
    #[arg(long, value_enum)]
    pub form: Option<FormName>,
    /// How access tokens are got [default: the first grant that the manifest declares]
    #[arg(long, value_enum)]
    pub grant: Option<GrantName>,
    /// The port of this machine to which the browser comes back [default: as the manifest says, else any]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Paste the address to which the browser came back, because it runs on another machine
    #[arg(long)]
    pub paste: bool,
    /// How many seconds to wait for the consent
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub wait: u64,
    /// Only show what to create, with which scopes and URLs
    #[arg(long)]
    pub show: bool,
}

/// A form of credentials, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are those of the manifests
pub enum FormName {
    Bearer,
    Basic,
    Header,
    Query,
    Oauth2,
}

/// A grant, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are those of the manifests
pub enum GrantName {
    RefreshToken,
    ClientCredentials,
    JwtBearer,
}

impl GrantName {
    const fn grant(self) -> Grant {
        match self {
            GrantName::RefreshToken => Grant::RefreshToken,
            GrantName::ClientCredentials => Grant::ClientCredentials,
            GrantName::JwtBearer => Grant::JwtBearer,
        }
    }
}

/// The ports that connecting needs.
pub trait Ports: Store + Queue + Secrets + SecretVersions + Http + Clock {}
impl<T: Store + Queue + Secrets + SecretVersions + Http + Clock> Ports for T {}

/// How the consent of a person is got.
#[derive(Clone, Copy)]
pub struct Browser<'a> {
    /// The port of the redirect, if it is not the declared one.
    pub port: Option<u16>,
    /// The person pastes the address.
    pub paste: bool,
    /// How long to wait.
    pub limit: Duration,
    /// Shows the address that the person opens.
    pub show: &'a dyn Fn(&str),
}

/// Runs the command.
pub fn run(args: &ConnectArgs) -> Result<ExitCode, CommandError> {
    let (ports, config) = args.hub.open_whole()?;
    let name = args.connection.as_str();
    crate::operate::check_connection(config.hub(), name)?;
    let (connection, provider) = config.connection(name)?;
    let (auth, grant) = match &connection.api_secret {
        Some(_) => choose(&provider, name, args.form, args.grant.map(GrantName::grant))?,
        None => (None, None),
    };
    let public_url = environment(args.hub.env.as_deref())?.get(PUBLIC_URL).map(str::to_owned);
    let scopes = auth.map(|auth| needed_scopes(config.hub(), name, connection, &provider, auth)).unwrap_or_default();
    let plan = Plan { name, connection, provider: &provider, auth, grant, scopes, public_url };
    print(plan.text())?;
    if args.show {
        return Ok(ExitCode::SUCCESS);
    }
    print_line("")?;
    let input = Input::open(&plan.fields())?;
    let show = |url: &str| eprintln!("open this address in a browser:\n\n{url}\n");
    let browser = Browser { port: args.port, paste: args.paste, limit: Duration::from_secs(args.wait.max(1)), show: &show };
    let faults = block_on(connect(&ports, &plan, &input, browser))?;
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The form of credentials and the grant that the arguments name, else the first ones of the manifest.
///
/// # Errors
/// The provider does not take them; the message says what it takes.
pub fn choose<'p>(
    provider: &'p Provider,
    name: &str,
    form_name: Option<FormName>,
    grant: Option<Grant>,
) -> Result<(Option<&'p Auth>, Option<Grant>), CommandError> {
    let forms = &provider.manifest().api.auth;
    if forms.is_empty() {
        return Ok((None, None));
    }
    let wanted = form_name.map(|form| form.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default());
    let fits = |auth: &&Auth| {
        wanted.as_ref().is_none_or(|wanted| form(auth) == wanted) && grant.is_none_or(|grant| auth.grants.contains(&grant))
    };
    let Some(auth) = forms.iter().find(fits) else {
        let known: Vec<String> = forms
            .iter()
            .map(|auth| match auth.form {
                AuthForm::Oauth2 => auth.grants.iter().map(|g| format!("--grant {}", g.name())).collect::<Vec<_>>().join(", "),
                _ => format!("--form {}", form(auth)),
            })
            .collect();
        return Err(CommandError::Usage(format!("`{name}` cannot be connected in this way; it takes {}", known.join(", "))));
    };
    let grant = grant.or(auth.grants.first().copied()).filter(|_| auth.form == AuthForm::Oauth2);
    Ok((Some(auth), grant))
}

/// Connects, and says what happens. Returns the number of things that are wrong and were said.
///
/// # Errors
/// A value is missing, the person or the provider refuses, or somebody else stored credentials since the command began.
pub async fn connect<P: Ports>(ports: &P, plan: &Plan<'_>, input: &Input, browser: Browser<'_>) -> Result<usize, CommandError> {
    let (Some(auth), Some(secret)) = (plan.auth, plan.connection.api_secret.as_deref()) else {
        let signing = signing_secret(plan, input)?;
        store_signing_secret(ports, plan, signing.as_deref()).await?;
        print_line("nothing else is stored: the connection names no `api_secret`, so the hub makes no calls there")?;
        return Ok(0);
    };
    let seen = SeenVersion::of(ports, secret).await?;
    let stored = ports.secret(secret, true).await.map_err(Failure::from)?;
    let stored = stored.current.as_deref().and_then(Credential::parse).unwrap_or_default();
    let typed = typed(plan, auth, input, &stored)?;
    let connecting = Connecting { ports, plan, auth, secret, seen, signing: signing_secret(plan, input)? };
    match plan.grant {
        None => connecting.with_fixed(&typed).await,
        Some(Grant::RefreshToken) => connecting.with_consent(&typed, browser).await,
        Some(grant) => connecting.with_client(&typed, grant).await,
    }
}

/// The secret that signs the webhooks, if it is typed or piped.
fn signing_secret(plan: &Plan<'_>, input: &Input) -> Result<Option<String>, CommandError> {
    let fields = plan.fields();
    match fields.iter().find(|field| field.name == SIGNING_SECRET) {
        Some(field) => input.value(field, None, &fields),
        None => Ok(None),
    }
}

async fn store_signing_secret<P: Ports>(ports: &P, plan: &Plan<'_>, value: Option<&str>) -> Result<(), CommandError> {
    let (Some(name), Some(value)) = (plan.connection.signing_secret.as_deref(), value) else { return Ok(()) };
    SeenVersion::of(ports, name).await?.store(ports, value).await?;
    print_line(format_args!("stored as {name}; what the secret before it signed is accepted as well"))
}

/// The credential without its token, from what is typed, piped or stored.
fn typed(plan: &Plan<'_>, auth: &Auth, input: &Input, stored: &Credential) -> Result<Credential, CommandError> {
    let fields = plan.fields();
    let same_grant = stored.grant.is_some() && stored.grant == plan.grant;
    let mut values = BTreeMap::new();
    for field in fields.iter().filter(|field| field.name != SIGNING_SECRET) {
        let known = match field.name {
            "client_id" => stored.client_id.as_deref(),
            "client_secret" => stored.client_secret.as_deref(),
            "private_key" => stored.private_key.as_deref(),
            "subject" => stored.subject.as_deref(),
            _ => None,
        };
        values.extend(input.value(field, known.filter(|_| same_grant), &fields)?.map(|value| (field.name, value)));
    }
    let mut take = |name: &str| values.remove(name);
    Ok(Credential {
        access_token: take("access_token").unwrap_or_default(),
        client_id: take("client_id"),
        client_secret: take("client_secret"),
        private_key: take("private_key"),
        subject: take("subject"),
        grant: plan.grant,
        scope: plan.grant.map(|_| auth.join_scopes(&plan.scopes)),
        ..Credential::default()
    })
}

struct Connecting<'a, P> {
    ports: &'a P,
    plan: &'a Plan<'a>,
    auth: &'a Auth,
    secret: &'a str,
    seen: SeenVersion,
    /// The secret that signs the webhooks, if it was typed or piped.
    signing: Option<String>,
}

impl<P: Ports> Connecting<'_, P> {
    /// A fixed key or password. It is tried before it replaces another one.
    async fn with_fixed(&self, typed: &Credential) -> Result<usize, CommandError> {
        let credential = Credential { granted_at: Some(self.ports.now_ms()), ..typed.clone() };
        let seen = read_once(self.ports, self.plan.connection, self.plan.provider, &credential).await;
        if let Seen::Refused(why) = &seen {
            return Err(CommandError::Backend(format!("{why}; nothing was stored")));
        }
        self.store(&credential).await?;
        self.finish(&credential, &seen).await
    }

    /// An app that proves itself.
    async fn with_client(&self, typed: &Credential, grant: Grant) -> Result<usize, CommandError> {
        let exchange = self.exchange(typed, grant);
        let began_ms = self.ports.now_ms();
        let request = exchange.request(began_ms).map_err(CommandError::Usage)?;
        let credential = self.granted(&exchange, request, began_ms).await?;
        self.store(&credential).await?;
        let seen = read_once(self.ports, self.plan.connection, self.plan.provider, &credential).await;
        self.finish(&credential, &seen).await
    }

    /// A person who agrees in a browser. The browser shows how it ended.
    async fn with_consent(&self, typed: &Credential, browser: Browser<'_>) -> Result<usize, CommandError> {
        let authorization = Authorization::new(self.ports);
        let declared = self.auth.redirect();
        let client = typed.client_id.as_deref().unwrap_or_default();
        if browser.paste || declared.starts_with("https://") {
            let redirect = declared.replace("{port}", &browser.port.unwrap_or(8_482).to_string());
            (browser.show)(&authorization.url(self.plan, self.auth, client, &redirect));
            let consent = pasted(&authorization.state)?;
            return self.with_code(typed, consent, &authorization, &redirect).await;
        }
        let redirect = Redirect::bind(declared, browser.port).await?;
        let url = redirect.url().to_owned();
        (browser.show)(&authorization.url(self.plan, self.auth, client, &url));
        let arrival: Arrival = redirect.wait(&authorization.state, browser.limit).await?;
        let result = self.with_code(typed, arrival.consent.clone(), &authorization, &url).await;
        let title = &self.plan.provider.manifest().provider.title;
        arrival.show(match &result {
            Ok(_) => Page::success(&format!("{title} is connected"), "The hub has stored the access. You can close this window."),
            Err(error) => Page::refusal(400, &format!("{title} is not connected"), &error.to_string()),
        });
        // The page leaves before the process ends.
        tokio::time::sleep(Duration::from_millis(200)).await;
        result
    }

    async fn with_code(
        &self,
        typed: &Credential,
        consent: Consent,
        authorization: &Authorization,
        redirect: &str,
    ) -> Result<usize, CommandError> {
        let (code, further) = match consent {
            Consent::Code(code, further) => (code, further),
            Consent::Refused(error, why) => {
                let why = if why.is_empty() { String::new() } else { format!(": {}", cut(&why, WIDTH)) };
                let text = match error.as_str() {
                    "access_denied" => "the person did not agree".to_owned(),
                    error => format!("the provider refuses with `{}`", cut(error, WIDTH)),
                };
                return Err(CommandError::Backend(format!("{text}{why}; nothing was stored")));
            }
        };
        let exchange = self.exchange(typed, Grant::RefreshToken);
        let began_ms = self.ports.now_ms();
        let request = exchange.code_request(&CodeExchange { code: &code, redirect, verifier: &authorization.verifier });
        let credential = self.granted(&exchange, request, began_ms).await?;
        if credential.refresh_token.is_none() {
            let text =
                "the provider gave no refresh token, so the access would end soon; look at the app's settings for offline access";
            return Err(CommandError::Backend(format!("{text}; nothing was stored")));
        }
        self.store(&credential).await?;
        for (name, value) in further.iter().filter(|(name, _)| name.as_str() == "realmId") {
            print_line(format_args!("{name}: {value}; it is the `account` of the connection in hub.toml"))?;
        }
        let seen = read_once(self.ports, self.plan.connection, self.plan.provider, &credential).await;
        self.finish(&credential, &seen).await
    }

    /// Says what was seen, and registers the webhooks. Returns how many things are wrong.
    async fn finish(&self, credential: &Credential, seen: &Seen) -> Result<usize, CommandError> {
        let mut faults = self.faults(credential, seen)?;
        store_signing_secret(self.ports, self.plan, self.signing.as_deref()).await?;
        if let Err(error) = self.register(credential).await {
            faults.push(format!("the webhooks are not registered: {error}"));
        }
        for fault in &faults {
            print(wrapped(&format!("!! {fault}"), 3))?;
        }
        if faults.is_empty() {
            print_line(format_args!("{} is connected", self.plan.name))?;
        }
        Ok(faults.len())
    }

    /// Registers the webhooks, where the provider has calls for it and the hub's URL is known.
    async fn register(&self, credential: &Credential) -> Result<(), CommandError> {
        if !self.plan.connection.source {
            return Ok(());
        }
        let Some(url) = self.plan.webhook_url() else {
            return print_line(format_args!("webhooks are not registered: the hub's own URL is not known ({PUBLIC_URL})"));
        };
        let signing = match (&self.signing, &self.plan.connection.signing_secret) {
            (Some(typed), _) => typed.clone(),
            (None, Some(name)) => self.ports.secret(name, true).await.map_err(Failure::from)?.current.unwrap_or_default(),
            (None, None) => String::new(),
        };
        let Some(registration) = Registration::new(self.ports, self.plan, credential, &url, &signing) else { return Ok(()) };
        let registered = registration.register().await?;
        store_signing_secret(self.ports, self.plan, registered.secret.as_deref()).await?;
        print_line(format_args!(
            "webhooks: {} for {url}, {} created or changed now",
            counted(registered.present, "subscription"),
            registered.changed
        ))
    }

    fn exchange<'e>(&'e self, credential: &'e Credential, grant: Grant) -> Exchange<'e> {
        let variables = self.plan.connection.auth_variables();
        let token_url = variables.fill(&self.auth.token_url);
        let audience = variables.fill(&self.auth.audience);
        Exchange { auth: self.auth, grant, credential, token_url, audience, repeated: false }
    }

    /// The credential with the token that the endpoint gives.
    async fn granted(
        &self,
        exchange: &Exchange<'_>,
        request: sync::ports::HttpRequest,
        began_ms: i64,
    ) -> Result<Credential, CommandError> {
        let response = self.ports.http(request).await;
        let response = response.map_err(|e| CommandError::Backend(format!("`{}` gives no answer: {e}", exchange.token_url)))?;
        match exchange.parse(&response, began_ms) {
            Answer::Granted(credential) => Ok(Credential { granted_at: Some(began_ms), ..*credential }),
            Answer::Refused(code) => {
                let text = "the token endpoint refuses with";
                Err(CommandError::Backend(format!(
                    "{text} `{code}`: look at client id, client secret and redirect URL; nothing was stored"
                )))
            }
            Answer::Unavailable { reason, .. } => {
                Err(CommandError::Backend(format!("`{}` answers with {reason}; nothing was stored", exchange.token_url)))
            }
        }
    }

    /// Stores the credential, and ends what waited for it.
    async fn store(&self, credential: &Credential) -> Result<(), CommandError> {
        let name = self.plan.name;
        let version = self.seen.store(self.ports, &credential.to_secret()).await?;
        print_line(format_args!("stored as {}, version {version}", self.secret))?;
        if end_pauses_of_credentials(self.ports, name, &version).await? {
            let sent = if self.plan.connection.destination { send_held(self.ports, name).await? } else { 0 };
            print_line(format_args!("the pause because of the credentials has ended; {} sent", counted(sent, "held message")))?;
        }
        Ok(())
    }

    /// Says what was seen, and returns what is wrong.
    fn faults(&self, credential: &Credential, seen: &Seen) -> Result<Vec<String>, CommandError> {
        let mut faults = Vec::new();
        let mut granted = credential.scope.clone().filter(|_| self.plan.grant.is_some()).map(|scope| split_scopes(&scope));
        match seen {
            Seen::Account(shown, scopes) => {
                let shown: Vec<String> = shown.iter().map(|(word, value)| format!("{word}: {value}")).collect();
                print(wrapped(&format!("read once: {}", shown.join(", ")), 2))?;
                granted = scopes.as_ref().map(|scopes| scopes.iter().cloned().collect()).or(granted);
            }
            Seen::Refused(why) | Seen::Unknown(why) => faults.push(why.clone()),
            Seen::NotDeclared => {}
        }
        if let Some(granted) = granted {
            let missing = missing_scopes(self.auth, &self.plan.scopes, &granted);
            if !missing.is_empty() {
                faults.push(format!("these scopes are missing: {}", missing.join(", ")));
            }
        }
        Ok(faults)
    }
}

/// The answer in an address that the person pastes.
fn pasted(state: &str) -> Result<Consent, CommandError> {
    use std::io::{BufRead, IsTerminal};
    if !std::io::stdin().is_terminal() {
        let text = "the address to which the browser comes back must be pasted: run the command in a terminal";
        return Err(CommandError::Usage(text.to_owned()));
    }
    eprintln!("then paste the address to which the browser came back:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|e| CommandError::backend("the terminal cannot be read", e))?;
    let query = line.trim().split_once('?').map(|(_, query)| query.split('#').next().unwrap_or_default()).unwrap_or_default();
    consent(query, state).map_err(|_| CommandError::Usage("this is not the answer to the request: nothing was stored".to_owned()))
}

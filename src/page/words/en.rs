//! English.

use portvakt_core::identity::Kind;

use super::{Labels, Page, Wait, Words};

pub(super) const LABELS: Labels = Labels {
    log_in_again: "Log in again",
    log_in_otherwise: "Log in another way",
    log_in_in_new_tab: "Log in (opens in a new tab)",
    come_back_and_send: "Come back to this tab when you have logged in, and send.",
    send: "Send",
    try_again: "Try again",
    start: "Go to the start page",
    log_out: "Log out",
    log_out_again: "Try to log out again",
    finish_logout: "Finish logging out",
    reference: "Reference:",
    use_of_reference: "Quote the reference if you contact someone about this.",
    language: "Language",
    remember: "Remember my choice in this browser",
    go_on: "Go on",
};

pub(super) fn logout() -> Words {
    Words::new(
        "We are logging you out",
        "You are logged out here. Now we are also logging you out of the login service.",
        "Press the button if nothing happens.",
    )
}

pub(super) fn kept_form() -> Words {
    Words::new(
        "Log in to send",
        "What you wanted to send has not been sent yet. You need to log in first, again or more \
         securely.",
        "We keep it here on this page for 15 minutes. Leave this tab open, and do this:",
    )
}

pub(super) fn organisations() -> Words {
    Words::new(
        "Whom do you represent?",
        "You may act for several organisations.",
        "Choose the one that you want to represent now. You can change it later without logging in again.",
    )
}

pub(super) fn resent_form() -> Words {
    Words::new(
        "We are sending what you wanted to send",
        "You are logged in. Now we are sending what you wanted to send.",
        "Press the button if nothing happens.",
    )
}

pub(super) fn choice() -> Words {
    Words::new(
        "How do you want to log in?",
        "You need to log in to go on. Choose the way that suits you.",
        "",
    )
}

pub(super) fn onward() -> Words {
    Words::new(
        "You are being sent on",
        "We are sending you on to the login.",
        "Press the button if nothing happens.",
    )
}

pub(super) fn way(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::National => ("Norwegian eID", "With BankID, MinID or another Norwegian eID"),
        Kind::Eidas => ("European eID", "With an electronic ID from another European country"),
        Kind::Employee => ("Employee", "For those who come on behalf of an organisation"),
        Kind::Email => ("E-mail", "With a code that is sent to your e-mail address"),
        Kind::Helper | Kind::Pseudonymous => ("Login from abroad", "For those without a Norwegian eID"),
        // It never comes this way.
        Kind::Machine => ("", ""),
    }
}

pub(super) fn words(page: &Page) -> Words {
    match *page {
        Page::LoginRequired => Words::new(
            "You need to log in",
            "What you wanted to send was not sent, and we could not keep it. You need to log in first, \
             again or more securely.",
            "Log in in a new tab. Then come back to this tab, go one step back in your browser, and send \
             it again. What you wrote is usually still there.",
        ),
        Page::FormGone => Words::new(
            "What you wanted to send is no longer here",
            "It took too long, or it did not reach us as it was. Nothing was sent this time.",
            "Go back in your browser to the page where you wrote it, and see whether the text is still \
             there. Otherwise start again from the start page.",
        ),
        Page::LoginExpired => Words::new(
            "This login is no longer valid",
            "The login took too long, or you came back to an old login page.",
            "Log in again. That usually works.",
        ),
        Page::LoginCancelled => Words::new(
            "The login was cancelled",
            "You are not logged in.",
            "If you want to log in after all, you can try again.",
        ),
        Page::LoginEnded => Words::new(
            "You are logged out",
            "While you were logging in here, you were logged out from another service or another tab.",
            "If you want to go on, you can log in again.",
        ),
        Page::LoginRefused => Words::new(
            "We could not log you in",
            "We could not check the answer from the login service. For your safety we stopped the login.",
            "Try again. If the same thing happens, contact those who run the service you want to use.",
        ),
        Page::LoginNotSetUp => Words::new(
            "Login is not set up correctly",
            "We stopped the login, because you could not have been logged out everywhere again. The fault is ours, not yours.",
            "Contact those who run the service you want to use, and give them the reference below. Try again when it has been put right.",
        ),
        Page::LoginLoop => Words::new(
            "Your browser does not remember the login",
            "We tried several times, but your browser does not keep that you have logged in. \
             This often happens when cookies are turned off.",
            "Allow cookies for this site, or use another browser. Then try again.",
        ),
        Page::LevelTooLow => Words::new(
            "You need to log in more securely",
            "The page you want needs a more secure login than the one you used.",
            "Log in again and choose a login with higher security, for example BankID.",
        ),
        Page::LevelUnreachable => Words::new(
            "The login is not secure enough",
            "The page you want needs a more secure login, and the login service could not give you one.",
            "Try again with another login, for example BankID. \
             If you have no other, contact those who run the service you want to use.",
        ),
        Page::LoginTooOld => Words::new(
            "You need to confirm again who you are",
            "The page you want needs a recent login. The login service used an older one.",
            "Log in again. If the same thing happens, log out first.",
        ),
        Page::NationalNumberNeeded => Words::new(
            "You need a Norwegian national identity number here",
            "This service is for private persons with a Norwegian national identity number or D number. \
             The login you used is of another type.",
            "If you have such a number, log in another way, for example with BankID or MinID. \
             If you do not, contact those who run the service.",
        ),
        Page::EuropeanIdNeeded => Words::new(
            "You need a European eID here",
            "This service is for people with an approved electronic ID (eID) from another European country. \
             The login you used is of another type.",
            "If you have such an eID, log in another way and choose the country it comes from. \
             If you do not, contact those who run the service.",
        ),
        Page::ElectronicIdNeeded => Words::new(
            "You need a Norwegian or European eID here",
            "This service needs a login with an electronic ID (eID) from Norway or another European country. \
             The login you used is of another type.",
            "Log in another way, for example with BankID or with an eID from your own country.",
        ),
        Page::EmployeeNeeded => Words::new(
            "You need to log in as an employee here",
            "This service is for those who come on behalf of an organisation. \
             The login you used is for private persons.",
            "Log in another way and choose the organisation you come for.",
        ),
        Page::WrongKind => Words::new(
            "This page needs another kind of login",
            "You are logged in, but in a way that cannot be used here. \
             Some pages need a Norwegian identity number, and some need you to log in for an organisation.",
            "Log in another way. \
             If you are not sure what is needed, contact those who run the service.",
        ),
        Page::WrongProvider => Words::new(
            "The page needs another login service",
            "You are logged in, but by a login service that cannot be used for this page.",
            "Log in another way. If that does not work, contact those who run the service.",
        ),
        Page::WrongCountry => Words::new(
            "The page does not take eIDs from your country",
            "You are logged in with an electronic ID from a country that this page is not open to.",
            "If you have an eID from another country, for example Norway, you can log in with that. \
             Otherwise contact those who run the service.",
        ),
        Page::WrongMethod => Words::new(
            "The page does not accept the way you logged in",
            "You are logged in, but in a way that is not approved for this page.",
            "Log in again and choose another login than last time.",
        ),
        Page::RepresentsNobody => Words::new(
            "You do not represent an organisation",
            "You are logged in, but you did not choose an organisation, or you may not act for any. \
             This page is only for those who come for an organisation.",
            "Log in again and choose an organisation. If it is missing, ask the organisation to give you access in Altinn.",
        ),
        Page::WrongOrganisation => Words::new(
            "The organisation has no access",
            "You are logged in for an organisation that this page is not open to.",
            "Log in again and choose another organisation. \
             If the organisation should have access, contact those who run the service.",
        ),
        Page::ProviderDown { retry_after_seconds } => Words::new(
            "Login is not working right now",
            "We cannot reach the login service. Nothing is wrong on your side.",
            try_again_in(retry_after_seconds),
        ),
        Page::ProviderBusy { retry_after_seconds } => Words::new(
            "Many people are logging in right now",
            "There are so many that you need to wait a little before you can log in.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooManyRequests { retry_after_seconds } => Words::new(
            "Please wait before you try again",
            "There have been many attempts in a short time from the network you use. \
             They may come from others on the same network.",
            try_again_in(retry_after_seconds),
        ),
        Page::SessionsUncertain { retry_after_seconds } => Words::new(
            "We cannot show the page right now",
            "We cannot check whether you are still logged in. For your safety we therefore do not show the page.",
            try_again_in(retry_after_seconds),
        ),
        Page::AccessTokenMissing { retry_after_seconds } => Words::new(
            "We cannot show the page right now",
            "The page needs something from the login service that we do not get at the moment. You are still logged in, and nothing is wrong on your side.",
            try_again_in(retry_after_seconds),
        ),
        Page::CrossSite => Words::new(
            "This was stopped",
            "What was to be shown or sent here was asked for by another website. To protect you we do not accept that. \
             Nothing has been sent.",
            "Go to the start page, and do what you wanted to do from there.",
        ),
        Page::Maintenance { retry_after_seconds } => Words::new(
            "The service is closed for a while",
            "We are working on the service you want to use. Nothing is wrong on your side. If you sent something just now, it did not arrive.",
            try_again_in(retry_after_seconds),
        ),
        Page::Overloaded { retry_after_seconds } => Words::new(
            "Many people are here right now",
            "There are so many visitors that we cannot serve more at the moment. Nothing is wrong on your side.",
            try_again_in(retry_after_seconds),
        ),
        Page::NotFound => Words::new(
            "We cannot find the page",
            "The page may have been moved or removed, or there may be a mistake in the address.",
            "Check the address, or find your way from the start page.",
        ),
        Page::MethodNotAllowed => Words::new(
            "The page cannot be used like this",
            "The page was opened in a way that does not work here. Anything you sent did not arrive.",
            "Go to the start page and find your way from there.",
        ),
        Page::BadRequest => Words::new(
            "The address does not work",
            "There is a mistake in the address or in what was sent. \
             Links from e-mails and other sites can be broken.",
            "Go to the start page and find your way from there.",
        ),
        Page::TooLong => Words::new(
            "The address is too long",
            "The address of the page is longer than we can take.",
            "Go to the start page and find your way from there.",
        ),
        Page::WrongHost => Words::new(
            "There is no page here",
            "There is no service at the address in your browser.",
            "Check the address. If you followed a link, the link may be wrong.",
        ),
        Page::InsecureTransport => Words::new(
            "The page was opened without encryption",
            "Without encryption others can read what is sent. For your safety we therefore do not show the page.",
            "Replace http:// with https:// at the beginning of the address, and try again.",
        ),
        Page::AppUnreachable => Words::new(
            "The service does not answer",
            "We cannot reach the service you want to use. Nothing is wrong on your side.",
            TRY_AND_LOOK,
        ),
        Page::AppTooSlow => Words::new(
            "The service is taking too long",
            "We waited, but the service you want to use has not answered. Nothing is wrong on your side.",
            TRY_AND_LOOK,
        ),
        Page::AppBusy { retry_after_seconds } => Words::new(
            "Many are using the service right now",
            "The service you want to use cannot take more at the moment. Nothing is wrong on your side.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooLarge => Words::new(
            "What you sent is too large",
            "The service does not take as much at once.",
            "Send less, for example a smaller file.",
        ),
        Page::InternalError => Words::new(
            "Something went wrong on our side",
            "There was an error. Nothing is wrong on your side.",
            TRY_AND_LOOK,
        ),
        Page::SignedOut => Words::new(
            "You are logged out",
            "You are logged out here and of the login service.",
            "If others use the same computer, you should also close the browser.",
        ),
        Page::SignedOutLocallyOnly => Words::new(
            "You are logged out here, but perhaps not elsewhere",
            "We could not log you out of the login service. \
             You may still be logged in there and in other services.",
            "Try to log out again. If that does not work, close all windows of your browser. \
             This matters most if others use the same computer.",
        ),
    }
}

const TRY_AND_LOOK: &str = "Try again in a few minutes. If you have just sent something, check whether it arrived \
                            before you send it again.";

fn try_again_in(seconds: u32) -> String {
    match Wait::of(seconds) {
        Wait::Moment => "Wait a moment, and try again.".to_owned(),
        Wait::Minute => "Try again in a minute.".to_owned(),
        Wait::Minutes(minutes) => format!("Try again in {minutes} minutes."),
        Wait::Long => "Try again later.".to_owned(),
    }
}

//! Norwegian Nynorsk.

use portvakt_core::identity::Kind;

use super::{Labels, Page, Wait, Words};

pub(super) const LABELS: Labels = Labels {
    log_in_again: "Logg inn på nytt",
    log_in_otherwise: "Logg inn på ein annan måte",
    log_in_in_new_tab: "Logg inn (blir opna i ei ny fane)",
    come_back_and_send: "Kom tilbake til denne fana når du har logga inn, og send.",
    send: "Send",
    try_again: "Prøv igjen",
    start: "Gå til framsida",
    log_out: "Logg ut",
    log_out_again: "Prøv å logge ut på nytt",
    finish_logout: "Fullfør utlogginga",
    reference: "Referanse:",
    use_of_reference: "Oppgi referansen dersom du tek kontakt om dette.",
    language: "Språk",
    remember: "Hugs valet i denne nettlesaren",
    go_on: "Gå vidare",
};

pub(super) fn logout() -> Words {
    Words::new(
        "Vi loggar deg ut",
        "Du er logga ut her. No loggar vi deg også ut av innloggingstenesta.",
        "Trykk på knappen dersom det ikkje går vidare av seg sjølv.",
    )
}

pub(super) fn kept_form() -> Words {
    Words::new(
        "Logg inn for å sende",
        "Det du ville sende, er ikkje sendt enno. Du må først logge inn, på nytt eller på ein sikrare \
         måte.",
        "Vi tek vare på det her på sida i 15 minutt. Lat denne fana stå open, og gjer slik:",
    )
}

pub(super) fn organisations() -> Words {
    Words::new(
        "Kven representerer du?",
        "Du kan handle på vegner av fleire verksemder.",
        "Vel den du vil representere no. Du kan byte seinare utan å logge inn på nytt.",
    )
}

pub(super) fn resent_form() -> Words {
    Words::new(
        "Vi sender det du ville sende",
        "Du er logga inn. No sender vi det du ville sende.",
        "Trykk på knappen dersom det ikkje går vidare av seg sjølv.",
    )
}

pub(super) fn choice() -> Words {
    Words::new(
        "Korleis vil du logge inn?",
        "Du må logge inn for å kome vidare. Vel den måten som passar for deg.",
        "",
    )
}

pub(super) fn onward() -> Words {
    Words::new(
        "Du blir send vidare",
        "Vi sender deg vidare til innlogginga.",
        "Trykk på knappen dersom det ikkje går vidare av seg sjølv.",
    )
}

pub(super) fn way(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::National => ("Norsk eID", "Med BankID, MinID eller annan norsk eID"),
        Kind::Eidas => ("Europeisk eID", "Med elektronisk ID frå eit anna europeisk land"),
        Kind::Employee => ("Tilsett", "For deg som kjem på vegner av ei verksemd"),
        Kind::Email => ("E-post", "Med ein kode som blir send til e-postadressa di"),
        Kind::Helper | Kind::Pseudonymous => ("Innlogging frå utlandet", "For deg utan norsk eID"),
        // It never comes this way.
        Kind::Machine => ("", ""),
    }
}

pub(super) fn words(page: &Page) -> Words {
    match *page {
        Page::LoginRequired => Words::new(
            "Du må logge inn",
            "Det du ville sende, er ikkje sendt, og vi kunne ikkje ta vare på det. Du må først logge inn, \
             på nytt eller på ein sikrare måte.",
            "Logg inn i ei ny fane. Kom så tilbake til denne fana, gå eitt steg tilbake i nettlesaren, og \
             send på nytt. Der står det du skreiv, som regel framleis.",
        ),
        Page::FormGone => Words::new(
            "Det du ville sende, er ikkje lenger her",
            "Det gjekk for lang tid, eller det kom ikkje fram til oss slik det var. Denne gongen er ingenting sendt.",
            "Gå tilbake i nettlesaren til sida der du skreiv, og sjå om teksten framleis står der. Elles \
             må du byrje på nytt frå framsida.",
        ),
        Page::LoginExpired => Words::new(
            "Innlogginga gjeld ikkje lenger",
            "Innlogginga tok for lang tid, eller du har kome tilbake til ei gammal innloggingsside.",
            "Logg inn på nytt. Då går det som regel bra.",
        ),
        Page::LoginCancelled => Words::new(
            "Innlogginga vart avbroten",
            "Du er ikkje logga inn.",
            "Vil du logge inn likevel, kan du prøve igjen.",
        ),
        Page::LoginEnded => Words::new(
            "Du er logga ut",
            "Medan du logga inn her, vart du logga ut frå ei anna teneste eller ei anna fane.",
            "Vil du halde fram, kan du logge inn på nytt.",
        ),
        Page::LoginRefused => Words::new(
            "Vi fekk ikkje logga deg inn",
            "Vi kunne ikkje kontrollere svaret frå innloggingstenesta. For å verne deg stoppa vi innlogginga.",
            "Prøv igjen. Skjer det same ein gong til, kontakt dei som driv tenesta du skal bruke.",
        ),
        Page::LoginNotSetUp => Words::new(
            "Innlogginga er ikkje sett opp rett",
            "Vi stoppa innlogginga, for du kunne ikkje ha blitt logga ut igjen overalt. Feilen er vår, ikkje din.",
            "Kontakt dei som driv tenesta du skal bruke, og oppgi referansen nedanfor. Prøv igjen når det er retta.",
        ),
        Page::LoginLoop => Words::new(
            "Nettlesaren hugsar ikkje innlogginga",
            "Vi har prøvd fleire gonger, men nettlesaren tek ikkje vare på at du har logga inn. \
             Det skjer gjerne når informasjonskapslar (cookies) er slått av.",
            "Tillat informasjonskapslar for denne sida, eller bruk ein annan nettlesar. Prøv så igjen.",
        ),
        Page::LevelTooLow => Words::new(
            "Du må logge inn på ein sikrare måte",
            "Sida du skal til, krev ei sikrare innlogging enn den du har brukt.",
            "Logg inn på nytt, og vel ei innlogging med høgare tryggleik, til dømes BankID.",
        ),
        Page::LevelUnreachable => Words::new(
            "Innlogginga er ikkje sikker nok",
            "Sida du skal til, krev ei sikrare innlogging, og innloggingstenesta kunne ikkje gi deg det.",
            "Prøv igjen med ei anna innlogging, til dømes BankID. \
             Har du inga anna, kontakt dei som driv tenesta du skal bruke.",
        ),
        Page::LoginTooOld => Words::new(
            "Du må stadfeste på nytt kven du er",
            "Sida du skal til, krev at du har logga inn nyleg. Innloggingstenesta brukte ei eldre innlogging.",
            "Logg inn på nytt. Skjer det same ein gong til, logg ut først.",
        ),
        Page::NationalNumberNeeded => Words::new(
            "Her trengst norsk fødselsnummer eller D-nummer",
            "Tenesta er for privatpersonar med norsk fødselsnummer eller D-nummer. \
             Innlogginga du brukte, er av ein annan type.",
            "Har du eit slikt nummer, logg inn på ein annan måte, til dømes med BankID eller MinID. \
             Har du ikkje det, kontakt dei som driv tenesta.",
        ),
        Page::EuropeanIdNeeded => Words::new(
            "Her trengst ein europeisk eID",
            "Tenesta er for dei som har ein godkjend elektronisk ID (eID) frå eit anna europeisk land. \
             Innlogginga du brukte, er av ein annan type.",
            "Har du ein slik eID, logg inn på ein annan måte, og vel landet han kjem frå. \
             Har du ikkje det, kontakt dei som driv tenesta.",
        ),
        Page::ElectronicIdNeeded => Words::new(
            "Her trengst ein norsk eller europeisk eID",
            "Tenesta krev at du loggar inn med ein elektronisk ID (eID) frå Noreg eller eit anna europeisk land. \
             Innlogginga du brukte, er av ein annan type.",
            "Logg inn på ein annan måte, til dømes med BankID eller med ein eID frå landet du kjem frå.",
        ),
        Page::EmployeeNeeded => Words::new(
            "Her må du logge inn som tilsett",
            "Tenesta er for dei som kjem på vegner av ei verksemd. Innlogginga du brukte, er for privatpersonar.",
            "Logg inn på ein annan måte, og vel verksemda du kjem for.",
        ),
        Page::WrongKind => Words::new(
            "Sida krev ei anna innlogging",
            "Du er logga inn, men på ein måte som ikkje kan brukast her. \
             Nokre sider krev norsk fødselsnummer, og nokre krev at du loggar inn for ei verksemd.",
            "Logg inn på ein annan måte. \
             Er du usikker på kva som krevst, kontakt dei som driv tenesta.",
        ),
        Page::WrongProvider => Words::new(
            "Sida krev ei anna innloggings\u{ad}teneste",
            "Du er logga inn, men gjennom ei innloggingsteneste som ikkje kan brukast til denne sida.",
            "Logg inn på ein annan måte. Går det ikkje, kontakt dei som driv tenesta.",
        ),
        Page::WrongCountry => Words::new(
            "Sida tek ikkje imot eID frå landet ditt",
            "Du er logga inn med ein elektronisk ID frå eit land som sida ikkje er open for.",
            "Har du ein eID frå eit anna land, til dømes Noreg, kan du logge inn med den. \
             Kontakt elles dei som driv tenesta.",
        ),
        Page::WrongMethod => Words::new(
            "Sida godtek ikkje måten du logga inn på",
            "Du er logga inn, men på ein måte som ikkje er godkjend for denne sida.",
            "Logg inn på nytt, og vel ei anna innlogging enn sist.",
        ),
        Page::RepresentsNobody => Words::new(
            "Du representerer inga verksemd",
            "Du er logga inn, men du har ikkje valt ei verksemd, eller du har ikkje rett til å opptre for nokon. \
             Sida er berre for dei som kjem for ei verksemd.",
            "Logg inn på nytt, og vel ei verksemd. Manglar ho, be verksemda om å gi deg tilgang i Altinn.",
        ),
        Page::WrongOrganisation => Words::new(
            "Verksemda har ikkje tilgang",
            "Du er logga inn for ei verksemd som sida ikkje er open for.",
            "Logg inn på nytt, og vel ei anna verksemd. \
             Skal verksemda ha tilgang, kontakt dei som driv tenesta.",
        ),
        Page::ProviderDown { retry_after_seconds } => Words::new(
            "Innlogginga verkar ikkje akkurat no",
            "Vi får ikkje kontakt med innloggingstenesta. Det er ikkje noko gale hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::ProviderBusy { retry_after_seconds } => Words::new(
            "Mange loggar inn akkurat no",
            "Det er så stor pågang at du må vente litt før du kan logge inn.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooManyRequests { retry_after_seconds } => Words::new(
            "Vent litt før du prøver igjen",
            "Det har vore mange forsøk på kort tid frå nettet du bruker. Det kan kome frå andre på same nett.",
            try_again_in(retry_after_seconds),
        ),
        Page::SessionsUncertain { retry_after_seconds } => Words::new(
            "Vi kan ikkje vise sida akkurat no",
            "Vi får ikkje kontrollert om du framleis er logga inn. For å verne deg viser vi difor ikkje sida.",
            try_again_in(retry_after_seconds),
        ),
        Page::AccessTokenMissing { retry_after_seconds } => Words::new(
            "Vi kan ikkje vise sida akkurat no",
            "Sida treng noko frå innloggingstenesta som vi ikkje får akkurat no. Du er framleis logga inn, og det er ikkje noko gale hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::CrossSite => Words::new(
            "Dette vart stoppa",
            "Det som skulle visast eller sendast her, vart bede om av ei anna nettside. For å verne deg tek vi ikkje \
             imot det. Ingenting er sendt inn.",
            "Gå til framsida, og gjer det du skulle, derifrå.",
        ),
        Page::Maintenance { retry_after_seconds } => Words::new(
            "Tenesta er stengd ei stund",
            "Vi arbeider med tenesta du skal bruke. Det er ikkje noko gale hos deg. Det du eventuelt sende no, kom ikkje fram.",
            try_again_in(retry_after_seconds),
        ),
        Page::Overloaded { retry_after_seconds } => Words::new(
            "Mange er innom akkurat no",
            "Det er så stor pågang at vi ikkje kan ta imot fleire i augneblinken. Det er ikkje noko gale hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::NotFound => Words::new(
            "Vi finn ikkje sida",
            "Sida kan vere flytta eller fjerna, eller det kan vere ein feil i adressa.",
            "Kontroller adressa, eller finn fram frå framsida.",
        ),
        Page::MethodNotAllowed => Words::new(
            "Sida kan ikkje brukast slik",
            "Sida vart opna på ein måte som ikkje verkar her. Det du eventuelt sende, kom ikkje fram.",
            "Gå til framsida, og finn fram derifrå.",
        ),
        Page::BadRequest => Words::new(
            "Adressa verkar ikkje",
            "Det er ein feil i adressa eller i det som vart sendt. \
             Lenkjer frå e-post og andre nettstader kan vere øydelagde.",
            "Gå til framsida, og finn fram derifrå.",
        ),
        Page::TooLong => Words::new(
            "Adressa er for lang",
            "Adressa til sida er lengre enn vi kan ta imot.",
            "Gå til framsida, og finn fram derifrå.",
        ),
        Page::WrongHost => Words::new(
            "Her er det inga side",
            "Det finst inga teneste på adressa som står i nettlesaren.",
            "Kontroller adressa. Kom du hit frå ei lenkje, kan det vere feil i lenkja.",
        ),
        Page::InsecureTransport => Words::new(
            "Sida vart opna utan kryptering",
            "Utan kryptering kan andre lese det som blir sendt. For å verne deg viser vi difor ikkje sida.",
            "Byt ut http:// med https:// først i adressa, og prøv igjen.",
        ),
        Page::AppUnreachable => Words::new(
            "Tenesta svarar ikkje",
            "Vi får ikkje kontakt med tenesta du skal bruke. Det er ikkje noko gale hos deg.",
            TRY_AND_LOOK,
        ),
        Page::AppTooSlow => Words::new(
            "Tenesta bruker for lang tid",
            "Vi har venta, men tenesta du skal bruke, har ikkje svart. Det er ikkje noko gale hos deg.",
            TRY_AND_LOOK,
        ),
        Page::AppBusy { retry_after_seconds } => Words::new(
            "Mange bruker tenesta akkurat no",
            "Tenesta du skal bruke, kan ikkje ta imot fleire no. Det er ikkje noko gale hos deg.",
            try_again_in(retry_after_seconds),
        ),
        Page::TooLarge => Words::new(
            "Det du sende, er for stort",
            "Tenesta tek ikkje imot så mykje på ein gong.",
            "Send mindre, til dømes ei mindre fil.",
        ),
        Page::InternalError => Words::new(
            "Noko gjekk gale hos oss",
            "Det har oppstått ein feil. Det er ikkje noko gale hos deg.",
            TRY_AND_LOOK,
        ),
        Page::SignedOut => Words::new(
            "Du er logga ut",
            "Du er logga ut her og av innloggingstenesta.",
            "Bruker andre den same maskina, bør du også lukke nettlesaren.",
        ),
        Page::SignedOutLocallyOnly => Words::new(
            "Du er logga ut her, men kanskje ikkje andre stader",
            "Vi fekk ikkje logga deg ut av innloggingstenesta. \
             Du kan framleis vere logga inn der og i andre tenester.",
            "Prøv å logge ut på nytt. Går det ikkje, lukk alle vindauga i nettlesaren. \
             Det er særleg viktig dersom andre bruker den same maskina.",
        ),
    }
}

const TRY_AND_LOOK: &str = "Prøv igjen om nokre minutt. Har du nettopp sendt inn noko, kontroller om det kom fram \
                            før du sender det på nytt.";

fn try_again_in(seconds: u32) -> String {
    match Wait::of(seconds) {
        Wait::Moment => "Vent ein augneblink, og prøv igjen.".to_owned(),
        Wait::Minute => "Prøv igjen om eit minutt.".to_owned(),
        Wait::Minutes(minutes) => format!("Prøv igjen om {minutes} minutt."),
        Wait::Long => "Prøv igjen seinare.".to_owned(),
    }
}

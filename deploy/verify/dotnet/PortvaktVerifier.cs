// Checks that a request was made by Portvakt, the gateway in front of this application, and says for whom.
//
// One file for .NET Core 3.1, .NET 5 and later; needs no package. What it demands is listed in
// deploy/verify/README.md. It fails closed: a request that it does not understand is refused. .NET has no Ed25519:
// ECDSA and HMAC only. May be shared by threads.
//
//   var verifier = new Portvakt.Verifier(File.ReadAllText("portvakt.json"));
//   IDictionary<string, string> person = verifier.Check(method, rawTarget, headers, body);   // throws Refused

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Net.Http;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Threading;

namespace Portvakt
{
    /// <summary>The request was not made by the gateway for this application. Its text is for the log.</summary>
    public sealed class Refused : Exception
    {
        public Refused(string why) : base(why) { }
    }

    /// <summary>Knows what to expect.</summary>
    public sealed class Verifier
    {
        public const int MaxBody = 64 * 1024; // the gateway signs no digest of more

        private const long Leeway = 10; // seconds that clocks may differ
        private const long Life = 30; // seconds that a signature lives
        private const long AssertionLife = 60;
        private const int MaxNonces = 1000000; // more within Life + Leeway are refused: fail closed

        private static readonly string[] Components = { "@method", "@authority", "@path", "@query", "x-portvakt-audience" };
        // What the assertion says too must be the same there: who it is, and for whom. Names of persons may be encoded otherwise.
        private static readonly Dictionary<string, string> Twice = new Dictionary<string, string>
        {
            { "kind", "kind" }, { "fnr", "fnr" }, { "loa", "loa" }, { "acr", "acr" }, { "subject", "sub" },
            { "session", "session" }, { "provider", "provider" }, { "eidas_identifier", "eidas.identifier" },
            { "eidas_country", "eidas.country" }, { "match_key", "match_key" }, { "pseudonym", "pseudonym" },
            { "fhnummer", "fhnummer" }, { "org", "orgs" }, { "authorizer_fnr", "authorizer.fnr" },
            { "on_behalf_of", "on_behalf_of" }, { "consumer", "consumer" }, { "supplier", "supplier" }, { "scope", "scope" },
        };

        // The keys of the configuration, and what each may be.
        private static readonly Dictionary<string, JsonValueKind[]> Configuration = new Dictionary<string, JsonValueKind[]>
        {
            { "audience", new[] { JsonValueKind.String } }, { "signature", new[] { JsonValueKind.Object } },
            { "assertion", new[] { JsonValueKind.Object } },
        };
        private static readonly JsonValueKind[] YesOrNo = { JsonValueKind.True, JsonValueKind.False };
        private static readonly Dictionary<string, JsonValueKind[]> Proof = new Dictionary<string, JsonValueKind[]>
        {
            { "algorithm", new[] { JsonValueKind.String } }, { "keys", new[] { JsonValueKind.String, JsonValueKind.Array } },
            { "insecure_http_keys", YesOrNo },
        };
        private static readonly Dictionary<string, JsonValueKind[]> OfSignature = new Dictionary<string, JsonValueKind[]>(Proof)
        {
            { "secrets", new[] { JsonValueKind.Object } }, { "nonces", YesOrNo }, { "content_digest", YesOrNo },
            { "headers", new[] { JsonValueKind.Array } },
        };
        private static readonly Dictionary<string, JsonValueKind[]> OfAssertion = new Dictionary<string, JsonValueKind[]>(Proof)
        {
            { "issuer", new[] { JsonValueKind.String } },
        };

        private static readonly Regex Input = new Regex(
            "\\Aportvakt=(\\((\"[^\"\\\\]*\"(?: \"[^\"\\\\]*\")*)\\)((?:;[a-z]+=(?:[0-9]+|\"[^\"\\\\]*\"))*))\\z", RegexOptions.CultureInvariant);
        private static readonly Regex Parameter = new Regex(";([a-z]+)=([0-9]+|\"[^\"\\\\]*\")", RegexOptions.CultureInvariant);
        private static readonly Regex SignatureForm = new Regex("\\Aportvakt=:([A-Za-z0-9+/]+={0,2}):\\z", RegexOptions.CultureInvariant);
        private static readonly Regex Seconds = new Regex("\\A[0-9]{1,12}\\z", RegexOptions.CultureInvariant);
        private static readonly Regex Signable = new Regex("\\A[ -~]*\\z", RegexOptions.CultureInvariant);
        private static readonly Regex Base64UrlForm = new Regex("\\A[A-Za-z0-9_-]*\\z", RegexOptions.CultureInvariant);

        private readonly string audience;
        private readonly string algorithm; // null where signatures are not expected
        private readonly bool nonces;
        private readonly string issuer; // null where assertions are not expected
        private readonly Dictionary<string, byte[]> secrets = new Dictionary<string, byte[]>();
        private readonly Dictionary<string, string> named = new Dictionary<string, string>(); // `headers`, by their folded names
        private readonly KeySet keys;
        private readonly KeySet assertionKeys;
        private readonly Func<long> clock;
        private readonly Dictionary<string, long> seen = new Dictionary<string, long>();
        private long pruned;
        private int pruneAt = 1024;

        /// <param name="config">The JSON that deploy/verify/README.md describes.</param>
        /// <param name="clock">Unix seconds; by default the system's.</param>
        public Verifier(string config, Func<long> clock = null)
        {
            this.clock = clock ?? (() => DateTimeOffset.UtcNow.ToUnixTimeSeconds());
            JsonElement read = JsonDocument.Parse(config).RootElement.Clone();
            Judge(read, Configuration);
            audience = Text(read, "audience");
            JsonElement signature, assertion;
            bool signed = read.TryGetProperty("signature", out signature);
            bool asserted = read.TryGetProperty("assertion", out assertion);
            if (string.IsNullOrEmpty(audience) || !(signed || asserted))
            {
                throw new ArgumentException("say `audience`, and `signature`, `assertion` or both");
            }
            if (signed)
            {
                Judge(signature, OfSignature);
                algorithm = Text(signature, "algorithm");
                nonces = True(signature, "nonces");
                NeedsBody = True(signature, "content_digest");
                JsonElement further;
                if (signature.TryGetProperty("headers", out further))
                {
                    foreach (JsonElement name in further.EnumerateArray()) named[Fold(name.GetString().ToLowerInvariant())] = name.GetString().ToLowerInvariant();
                }
                if (algorithm == "hmac-sha256")
                {
                    foreach (JsonProperty secret in signature.GetProperty("secrets").EnumerateObject())
                    {
                        byte[] bytes = Base64Url(secret.Value.GetString());
                        if (bytes.Length != 32) throw new ArgumentException("a secret is 32 bytes in base64url");
                        secrets[secret.Name] = bytes;
                    }
                }
                else if (algorithm == "ecdsa-p256-sha256") keys = new KeySet(signature, this.clock);
                else throw new ArgumentException("algorithms here: ecdsa-p256-sha256 and hmac-sha256");
            }
            if (asserted)
            {
                Judge(assertion, OfAssertion);
                issuer = Text(assertion, "issuer");
                if (Text(assertion, "algorithm") != "ES256" || string.IsNullOrEmpty(issuer))
                {
                    throw new ArgumentException("`assertion` names `algorithm` (ES256), `issuer` and `keys`");
                }
                assertionKeys = new KeySet(assertion, this.clock);
            }
        }

        // A misspelt key would switch off what it was to demand.
        private static void Judge(JsonElement given, Dictionary<string, JsonValueKind[]> known)
        {
            if (given.ValueKind != JsonValueKind.Object) throw new ArgumentException("the configuration is an object of objects");
            foreach (JsonProperty pair in given.EnumerateObject())
            {
                JsonValueKind[] kinds;
                if (!known.TryGetValue(pair.Name, out kinds)) throw new ArgumentException("no such key: " + pair.Name);
                if (!kinds.Contains(pair.Value.ValueKind)) throw new ArgumentException("`" + pair.Name + "` is of another type");
            }
        }

        /// <summary>Whether <see cref="Check"/> needs the body.</summary>
        public bool NeedsBody { get; }

        /// <summary>Who is logged in: the facts of X-Identity-… by name, such as "fnr"; empty for nobody.</summary>
        /// <param name="target">As it stood in the request line.</param>
        /// <param name="headers">Each line one pair.</param>
        public IDictionary<string, string> Check(
            string method, string target, IEnumerable<KeyValuePair<string, string>> headers, byte[] body)
        {
            var lower = headers.Select(line => new KeyValuePair<string, string>(
                line.Key.ToLowerInvariant(), (line.Value ?? "").Trim(' ', '\t'))).ToList();
            HashSet<string> covered = algorithm == null ? null : CheckSignature(method, target, lower, body ?? new byte[0]);
            var told = new Dictionary<string, string>(StringComparer.Ordinal);
            var met = new HashSet<string>(StringComparer.Ordinal);
            foreach (KeyValuePair<string, string> line in lower)
            {
                string name = line.Key, folded = Fold(name), other;
                bool isNamed = named.TryGetValue(folded, out other);
                if (!isNamed && !folded.StartsWith("x-identity", StringComparison.Ordinal)) continue;
                bool ours = isNamed ? name == other : folded == name && name.StartsWith("x-identity-", StringComparison.Ordinal);
                if (!ours || !met.Add(name)) throw new Refused("an identity header that the gateway does not write");
                if (covered != null && !covered.Contains(name)) throw new Refused("an identity header that the signature does not cover");
                if (!isNamed) told[name.Substring("x-identity-".Length).Replace('-', '_')] = line.Value;
            }
            return issuer == null ? told : Asserted(told);
        }

        private HashSet<string> CheckSignature(string method, string target, List<KeyValuePair<string, string>> headers, byte[] body)
        {
            Match field = Input.Match(Only(headers, "signature-input"));
            if (!field.Success) throw new Refused("Signature-Input is not the gateway's");
            string[] names = field.Groups[2].Value.Split(' ').Select(name => name.Substring(1, name.Length - 2)).ToArray();
            var covered = new HashSet<string>(names, StringComparer.Ordinal);
            var given = new Dictionary<string, string>(StringComparer.Ordinal);
            foreach (Match pair in Parameter.Matches(field.Groups[3].Value))
            {
                if (given.ContainsKey(pair.Groups[1].Value)) throw new Refused("something is said twice");
                given[pair.Groups[1].Value] = pair.Groups[2].Value;
            }
            if (covered.Count != names.Length) throw new Refused("something is said twice");
            if (Given(given, "tag") != "\"portvakt\"") throw new Refused("another tag");
            if ((Given(given, "alg") ?? "\"" + algorithm + "\"") != "\"" + algorithm + "\"") throw new Refused("another algorithm");
            if (!Components.All(covered.Contains) || (NeedsBody && !covered.Contains("content-digest")))
            {
                throw new Refused("the signature does not cover enough");
            }
            long now = clock(), created = Moment(Given(given, "created")), expires = Moment(Given(given, "expires"));
            if (created > now + Leeway || expires + Leeway < now || expires <= created || expires - created > Life)
            {
                throw new Refused("not now");
            }
            Match signature = SignatureForm.Match(Only(headers, "signature"));
            if (!signature.Success) throw new Refused("Signature is not the gateway's");
            byte[] signedBytes = SignatureBase(names, field.Groups[1].Value, method, target, headers);
            string kid = (Given(given, "keyid") ?? "").Trim('"');
            CheckBytes(kid, signedBytes, Base64(signature.Groups[1].Value));
            if (Only(headers, "x-portvakt-audience") != audience) throw new Refused("for another audience");
            if (NeedsBody) CheckDigest(headers, body);
            if (nonces) Remember(Given(given, "nonce"), expires, now);
            return covered;
        }

        // RFC 9421, 2.5.
        private static byte[] SignatureBase(
            string[] names, string parameters, string method, string target, List<KeyValuePair<string, string>> headers)
        {
            int mark = target.IndexOf('?');
            var lines = new StringBuilder();
            foreach (string name in names)
            {
                string value;
                if (name == "@method") value = method;
                else if (name == "@authority") value = Only(headers, "host").ToLowerInvariant();
                else if (name == "@path") value = mark < 0 ? target : target.Substring(0, mark);
                else if (name == "@query") value = mark < 0 ? "?" : target.Substring(mark);
                else if (name.StartsWith("@", StringComparison.Ordinal)) throw new Refused("a component that nobody knows");
                else value = Only(headers, name);
                if (!Signable.IsMatch(name + value)) throw new Refused("a value that cannot be signed");
                lines.Append('"').Append(name).Append("\": ").Append(value).Append('\n');
            }
            if (!Signable.IsMatch(parameters)) throw new Refused("a value that cannot be signed");
            return Encoding.ASCII.GetBytes(lines.Append("\"@signature-params\": ").Append(parameters).ToString());
        }

        private void CheckBytes(string kid, byte[] message, byte[] signature)
        {
            if (algorithm != "hmac-sha256")
            {
                VerifyEs256(keys.Find(kid), message, signature);
                return;
            }
            byte[] secret;
            if (!secrets.TryGetValue(kid, out secret)) throw new Refused("a key that is not known");
            using (var mac = new HMACSHA256(secret))
            {
                if (!Same(mac.ComputeHash(message), signature)) throw new Refused("the signature is wrong");
            }
        }

        private static void CheckDigest(List<KeyValuePair<string, string>> headers, byte[] body)
        {
            string length = headers.Where(line => line.Key == "content-length").Select(line => line.Value).FirstOrDefault();
            string read = body.Length.ToString(CultureInfo.InvariantCulture);
            if ((length ?? read) != read || body.Length > MaxBody) throw new Refused("a body that somebody read before, or too long");
            using (SHA256 hash = SHA256.Create())
            {
                string digest = "sha-256=:" + Convert.ToBase64String(hash.ComputeHash(body)) + ":";
                if (Only(headers, "content-digest") != digest) throw new Refused("another body");
            }
        }

        private void Remember(string nonce, long expires, long now)
        {
            lock (seen)
            {
                // Whenever it has doubled, and at most once a second when it is full.
                if (seen.Count >= pruneAt && now - pruned >= 1)
                {
                    foreach (string old in seen.Where(one => one.Value + Leeway < now).Select(one => one.Key).ToList()) seen.Remove(old);
                    pruneAt = Math.Min(MaxNonces, Math.Max(1024, 2 * seen.Count));
                    pruned = now;
                }
                if (string.IsNullOrEmpty(nonce) || seen.Count >= MaxNonces || seen.ContainsKey(nonce)) throw new Refused("replayed");
                seen[nonce] = expires;
            }
        }

        private IDictionary<string, string> Asserted(Dictionary<string, string> told)
        {
            string token;
            if (!told.TryGetValue("assertion", out token))
            {
                if (told.Count > 0) throw new Refused("identity headers without an assertion");
                return told;
            }
            JsonElement claims = Claims(token);
            foreach (KeyValuePair<string, string> pair in Twice)
            {
                string said;
                if (told.TryGetValue(pair.Key, out said) && !Says(said, claims, pair.Value)) throw new Refused("headers and assertion disagree");
            }
            // Texts as they are, the rest as JSON.
            return claims.EnumerateObject().GroupBy(claim => claim.Name).ToDictionary(
                claim => claim.Key,
                claim => claim.Last().Value.ValueKind == JsonValueKind.String ? claim.Last().Value.GetString() : claim.Last().Value.GetRawText());
        }

        private static bool Says(string header, JsonElement claims, string name)
        {
            JsonElement claim = claims;
            foreach (string part in name.Split('.'))
            {
                if (claim.ValueKind != JsonValueKind.Object || !claim.TryGetProperty(part, out claim)) return false;
            }
            if (claim.ValueKind == JsonValueKind.Array)
            {
                string[] texts = claim.EnumerateArray().Select(one => one.ToString()).ToArray();
                return new[] { ",", ";", "^", "|" }.Any(separator => string.Join(separator, texts) == header);
            }
            if (claim.ValueKind != JsonValueKind.String) return false;
            // Some are percent-encoded, as the contract has it.
            string text = claim.GetString();
            string coded = string.Concat(Encoding.UTF8.GetBytes(text).Select(letter => letter >= 32 && letter < 127 && letter != '%'
                ? ((char)letter).ToString() : "%" + letter.ToString("X2", CultureInfo.InvariantCulture)));
            return header == text || header == coded;
        }

        private JsonElement Claims(string token)
        {
            string[] parts = token.Split('.');
            if (parts.Length != 3) throw new Refused("no assertion");
            JsonElement header = Json(Base64Url(parts[0])), claims = Json(Base64Url(parts[1])), critical;
            if (Text(header, "alg") != "ES256" || Text(header, "typ") != "JWT" || header.TryGetProperty("crit", out critical))
            {
                throw new Refused("an assertion of another kind");
            }
            VerifyEs256(assertionKeys.Find(Text(header, "kid")), Encoding.ASCII.GetBytes(parts[0] + "." + parts[1]), Base64Url(parts[2]));
            long now = clock(), iat = Whole(claims, "iat"), exp = Whole(claims, "exp");
            if (iat > now + Leeway || exp < now - Leeway || exp <= iat || exp - iat > AssertionLife) throw new Refused("not now");
            if (Text(claims, "iss") != issuer || Text(claims, "aud") != audience) throw new Refused("by another issuer or for another audience");
            if (new[] { "sub", "kind", "session" }.Any(name => Text(claims, name) == null))
            {
                throw new Refused("an assertion that does not say of whom it speaks");
            }
            return claims;
        }

        private static void VerifyEs256(JsonElement jwk, byte[] message, byte[] signature)
        {
            bool valid = false;
            try
            {
                if (Text(jwk, "kty") == "EC" && Text(jwk, "crv") == "P-256" && signature.Length == 64)
                {
                    var point = new ECPoint { X = Base64Url(Text(jwk, "x")), Y = Base64Url(Text(jwk, "y")) };
                    using (ECDsa key = ECDsa.Create(new ECParameters { Curve = ECCurve.NamedCurves.nistP256, Q = point }))
                    {
                        // .NET's form is r and s, as RFC 9421 and RFC 7518 have it.
                        valid = key.VerifyData(message, signature, HashAlgorithmName.SHA256);
                    }
                }
            }
            catch (CryptographicException)
            {
                valid = false;
            }
            if (!valid) throw new Refused("the signature is wrong");
        }

        private static string Only(List<KeyValuePair<string, string>> headers, string name)
        {
            string found = null;
            foreach (KeyValuePair<string, string> line in headers)
            {
                if (line.Key != name) continue;
                if (found != null) throw new Refused("two lines of a header");
                found = line.Value;
            }
            if (found == null) throw new Refused("a header is missing");
            return found;
        }

        // As a server that maps names to variables takes them for one another.
        private static string Fold(string name)
        {
            return Regex.Replace(name, "[^a-z0-9]", "-", RegexOptions.CultureInvariant);
        }

        private static string Given(Dictionary<string, string> given, string name)
        {
            string value;
            return given.TryGetValue(name, out value) ? value : null;
        }

        private static long Moment(string text)
        {
            if (text == null || !Seconds.IsMatch(text)) throw new Refused("no time");
            return long.Parse(text, CultureInfo.InvariantCulture);
        }

        private static long Whole(JsonElement claims, string name)
        {
            JsonElement value;
            long number;
            if (!claims.TryGetProperty(name, out value) || value.ValueKind != JsonValueKind.Number || !value.TryGetInt64(out number)
                || number < 0 || number > 999999999999)
            {
                throw new Refused("an assertion without times");
            }
            return number;
        }

        private static string Text(JsonElement value, string name)
        {
            JsonElement found;
            return value.ValueKind == JsonValueKind.Object && value.TryGetProperty(name, out found) && found.ValueKind == JsonValueKind.String
                ? found.GetString()
                : null;
        }

        private static bool True(JsonElement value, string name)
        {
            JsonElement found;
            return value.TryGetProperty(name, out found) && found.ValueKind == JsonValueKind.True;
        }

        private static JsonElement Json(byte[] text)
        {
            try
            {
                JsonElement value = JsonDocument.Parse(text).RootElement.Clone();
                if (value.ValueKind == JsonValueKind.Object) return value;
            }
            catch (Exception error) when (error is JsonException || error is InvalidOperationException)
            {
                throw new Refused("no JSON");
            }
            throw new Refused("no JSON object");
        }

        private static byte[] Base64Url(string text)
        {
            if (text == null || !Base64UrlForm.IsMatch(text)) throw new Refused("no base64url");
            return Base64(text.Replace('-', '+').Replace('_', '/') + new string('=', (4 - text.Length % 4) % 4));
        }

        private static byte[] Base64(string text)
        {
            try
            {
                return Convert.FromBase64String(text);
            }
            catch (FormatException)
            {
                throw new Refused("no base64");
            }
        }

        // Without telling by its time where they differ.
        private static bool Same(byte[] one, byte[] other)
        {
            int difference = one.Length ^ other.Length;
            for (int at = 0; at < one.Length && at < other.Length; at++) difference |= one[at] ^ other[at];
            return difference == 0;
        }

        /// <summary>The published keys, fetched when they are five minutes old or lack a kid, at most once a minute.</summary>
        private sealed class KeySet
        {
            private static readonly HttpClient Client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false })
            {
                Timeout = TimeSpan.FromSeconds(5),
                MaxResponseContentBufferSize = 1000000,
            };

            private static readonly Regex Safe = new Regex(
                "\\A(https://|http://(localhost|127\\.0\\.0\\.1|\\[::1\\])[:/])", RegexOptions.CultureInvariant);

            private readonly string url;
            private readonly Func<long> clock;
            private readonly object fetching = new object(); // and `tried`
            private volatile List<JsonElement> keys = new List<JsonElement>();
            private long fetched = long.MinValue / 2;
            private long tried = long.MinValue / 2;

            public KeySet(JsonElement source, Func<long> clock)
            {
                this.clock = clock;
                JsonElement given = source.GetProperty("keys");
                if (given.ValueKind == JsonValueKind.Array) keys = given.EnumerateArray().ToList();
                else url = given.GetString();
                // Who is on the way to http is the gateway.
                if (url != null && !True(source, "insecure_http_keys") && !Safe.IsMatch(url))
                {
                    throw new ArgumentException("`keys` are fetched over https, from elsewhere than this machine");
                }
            }

            public JsonElement Find(string kid)
            {
                if (url != null) Refresh(kid);
                List<JsonElement> found = keys.Where(key => kid != null && Text(key, "kid") == kid && Text(key, "alg") == "ES256").ToList();
                if (found.Count != 1) throw new Refused("a key that is not published");
                return found[0];
            }

            private void Refresh(string kid)
            {
                long now = clock();
                bool known = keys.Any(key => Text(key, "kid") == kid);
                if (known && now - Interlocked.Read(ref fetched) < 300) return;
                // Who has no key waits for whom is fetching; the others go on with what is here.
                if (!known) Monitor.Enter(fetching);
                else if (!Monitor.TryEnter(fetching)) return;
                try
                {
                    if (now - tried < 60) return;
                    tried = now;
                    using (HttpResponseMessage answer = Client.GetAsync(url).GetAwaiter().GetResult())
                    {
                        if ((int)answer.StatusCode != 200) return; // the keys that are here go on
                        string text = answer.Content.ReadAsStringAsync().GetAwaiter().GetResult();
                        List<JsonElement> fresh = JsonDocument.Parse(text).RootElement.Clone().GetProperty("keys").EnumerateArray().ToList();
                        // What is no key set takes the place of none.
                        if (fresh.Count == 0 || fresh.Any(key => key.ValueKind != JsonValueKind.Object)) return;
                        keys = fresh;
                        Interlocked.Exchange(ref fetched, now);
                    }
                }
                catch (Exception)
                {
                    return; // the keys that are here go on
                }
                finally
                {
                    Monitor.Exit(fetching);
                }
            }
        }
    }
}

package no.portvakt.verify;

import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.FilterConfig;
import jakarta.servlet.ReadListener;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletInputStream;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletRequestWrapper;
import jakarta.servlet.http.HttpServletResponse;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * A servlet filter, the first one: what did not come by way of the gateway gets 403, and the rest has the person
 * in the request attribute {@value #PERSON}.
 *
 * <p>For {@code javax.servlet}, replace {@code jakarta.servlet} by {@code javax.servlet} in this file; nothing else
 * differs. With {@code content_digest}, forms are read with {@code getInputStream}, not with {@code getParameter}.
 */
public final class PortvaktFilter implements Filter {
    /** The attribute that holds the facts of X-Identity-… by name: a {@code Map<String, String>}. */
    public static final String PERSON = "no.portvakt.person";

    private static final int MAX_BODY = 64 * 1024; // the gateway signs no digest of more

    private Verifier verifier;

    /** For {@code web.xml}: the init parameter {@code config} names the JSON file. */
    public PortvaktFilter() {}

    /** For embedded servers. */
    public PortvaktFilter(Verifier verifier) {
        this.verifier = verifier;
    }

    /** The person of a request that has passed the filter; empty for nobody. */
    @SuppressWarnings("unchecked")
    public static Map<String, String> person(ServletRequest request) {
        Object person = request.getAttribute(PERSON);
        return person == null ? Map.of() : (Map<String, String>) person;
    }

    @Override
    public void init(FilterConfig config) throws ServletException {
        if (verifier != null) {
            return;
        }
        try {
            verifier = new Verifier(Files.readString(Path.of(config.getInitParameter("config"))));
        } catch (IOException | RuntimeException error) {
            throw new ServletException("the configuration of the gateway's verifier cannot be read", error);
        }
    }

    @Override
    public void doFilter(ServletRequest any, ServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        HttpServletRequest request = (HttpServletRequest) any;
        try {
            byte[] body = new byte[0];
            if (verifier.needsBody()) {
                body = request.getInputStream().readNBytes(MAX_BODY + 1);
                if (body.length > MAX_BODY) {
                    throw new Verifier.Refused("a body that is too long to be signed");
                }
                request = new Again(request, body);
            }
            request.setAttribute(PERSON, verifier.check(request.getMethod(), target(request), fields(request), body));
        } catch (Verifier.Refused refused) {
            request.getServletContext().log("portvakt: refused: " + refused.getMessage());
            HttpServletResponse answer = (HttpServletResponse) response;
            answer.setHeader("Cache-Control", "no-store");
            answer.sendError(HttpServletResponse.SC_FORBIDDEN);
            return;
        }
        chain.doFilter(request, response);
    }

    /** {@code getRequestURI} is the path as it was sent (Servlet specification, HttpServletRequest). */
    private static String target(HttpServletRequest request) {
        String query = request.getQueryString();
        return query == null ? request.getRequestURI() : request.getRequestURI() + "?" + query;
    }

    private static List<Verifier.Field> fields(HttpServletRequest request) {
        List<Verifier.Field> fields = new ArrayList<>();
        for (String name : Collections.list(request.getHeaderNames())) {
            for (String value : Collections.list(request.getHeaders(name))) {
                fields.add(new Verifier.Field(name, value));
            }
        }
        if (request.getHeader("Host") == null && "HTTP/2.0".equals(request.getProtocol())) {
            fields.add(new Verifier.Field("Host", authority(request)));
        }
        return fields;
    }

    /** Over HTTP/2 some servers (Tomcat) tell {@code :authority} only in parts; the gateway sends no default port. */
    private static String authority(HttpServletRequest request) {
        int port = request.getServerPort();
        boolean usual = port == (request.isSecure() ? 443 : 80);
        return usual ? request.getServerName() : request.getServerName() + ":" + port;
    }

    /** The request with its body once more. */
    private static final class Again extends HttpServletRequestWrapper {
        private final ByteArrayInputStream body;

        Again(HttpServletRequest request, byte[] body) {
            super(request);
            this.body = new ByteArrayInputStream(body);
        }

        @Override
        public ServletInputStream getInputStream() {
            return new ServletInputStream() {
                @Override
                public int read() {
                    return body.read();
                }

                @Override
                public boolean isFinished() {
                    return body.available() == 0;
                }

                @Override
                public boolean isReady() {
                    return true;
                }

                @Override
                public void setReadListener(ReadListener listener) {
                    throw new IllegalStateException("the body is here already");
                }
            };
        }

        @Override
        public BufferedReader getReader() {
            return new BufferedReader(new InputStreamReader(getInputStream(), StandardCharsets.UTF_8));
        }
    }
}

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import jakarta.servlet.DispatcherType;
import jakarta.servlet.Filter;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.Map;
import no.portvakt.verify.PortvaktFilter;
import no.portvakt.verify.Verifier;
import org.eclipse.jetty.server.Server;

/** An application behind the kit, in Jetty. See ../run.mjs for KIT_CONTROL. */
public final class KitServer {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static String vector = "";
    private static long now;
    private static PortvaktFilter filter;

    public static void main(String[] arguments) throws Exception {
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(System.getenv("PORT")));
        server.addConnector(connector);
        ServletContextHandler context = new ServletContextHandler();
        context.setContextPath("/");
        context.addFilter(new FilterHolder(new Current()), "/*", EnumSet.of(DispatcherType.REQUEST));
        context.addServlet(new ServletHolder(new App()), "/*");
        server.setHandler(context);
        server.start();
        server.join();
    }

    /** The kit's filter, made anew for each vector. */
    public static final class Current implements Filter {
        @Override
        public void init(jakarta.servlet.FilterConfig config) {}

        @Override
        public void destroy() {}

        @Override
        public synchronized void doFilter(ServletRequest request, ServletResponse response, FilterChain chain)
                throws IOException, ServletException {
            JsonNode control = JSON.readTree(new File(System.getenv("KIT_CONTROL")));
            now = control.get("now").asLong();
            if (!control.get("vector").asText().equals(vector)) {
                vector = control.get("vector").asText();
                try {
                    filter = new PortvaktFilter(new Verifier(control.get("config").toString(), () -> now));
                } catch (IllegalArgumentException error) {
                    // A configuration that it cannot check: the application would not start.
                    filter = null;
                }
            }
            if (filter == null) {
                ((HttpServletResponse) response).sendError(HttpServletResponse.SC_FORBIDDEN);
                return;
            }
            filter.doFilter(request, response, chain);
        }
    }

    /** Says who and what it was given. */
    public static final class App extends HttpServlet {
        private static final long serialVersionUID = 1L;

        @Override
        protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
            Map<String, String> said = new HashMap<>();
            said.put("who", PortvaktFilter.person(request).get("fnr"));
            said.put("body", new String(request.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1));
            response.setContentType("application/json");
            response.getOutputStream().write(JSON.writeValueAsBytes(said));
        }
    }
}

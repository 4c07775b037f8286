import java.net.InetSocketAddress;
import java.util.Map;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.iceberg.CatalogUtil;
import org.apache.iceberg.rest.RESTCatalogAdapter;
import org.apache.iceberg.rest.RESTCatalogServlet;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/**
 * Apache Iceberg's REST catalog on loopback alone; its own main class listens everywhere.
 * Arguments are the catalog's properties, name=value. Prints the port it has taken.
 */
public class RestCatalogServer {
  public static void main(String[] args) throws Exception {
    Map<String, String> properties = new TreeMap<>();
    for (String arg : args) {
      int split = arg.indexOf('=');
      properties.put(arg.substring(0, split), arg.substring(split + 1));
    }
    var catalog = CatalogUtil.buildIcebergCatalog("backend", properties, new Configuration(false));
    var servlet = new RESTCatalogServlet(new RESTCatalogAdapter(catalog));
    var context = new ServletContextHandler(ServletContextHandler.NO_SESSIONS);
    context.addServlet(new ServletHolder(servlet), "/*");
    var server = new Server(new InetSocketAddress("127.0.0.1", 0));
    server.setHandler(context);
    server.start();
    System.out.println("port " + server.getURI().getPort());
    server.join();
  }
}

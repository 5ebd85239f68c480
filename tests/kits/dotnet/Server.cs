// An application behind the kit, over a plain socket: .NET's ASP.NET Core is not in the registries, and its
// HttpListener tells headers with their lines joined. See ../run.mjs for KIT_CONTROL.

using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

public static class Server
{
    private static string vector = "";
    private static long now;
    private static Portvakt.Verifier verifier;

    public static void Main()
    {
        var listener = new TcpListener(IPAddress.Loopback, int.Parse(Environment.GetEnvironmentVariable("PORT")));
        listener.Start();
        for (;;)
        {
            using (TcpClient client = listener.AcceptTcpClient())
            {
                try
                {
                    Serve(client.GetStream());
                }
                catch (IOException)
                {
                    // The client has gone.
                }
            }
        }
    }

    private static void Serve(NetworkStream stream)
    {
        string[] request = Line(stream).Split(' ');
        var headers = new List<KeyValuePair<string, string>>();
        int length = 0;
        for (string line = Line(stream); line != ""; line = Line(stream))
        {
            int colon = line.IndexOf(':');
            // What Kestrel refuses: folding, and names that are no tokens.
            if (request.Length != 3 || colon <= 0 || line[0] == ' ' || line[0] == '\t' || line[colon - 1] == ' ')
            {
                Answer(stream, "400 Bad Request", "");
                return;
            }
            if (line.StartsWith("transfer-encoding:", StringComparison.OrdinalIgnoreCase))
            {
                Answer(stream, "411 Length Required", "");
                return;
            }
            headers.Add(new KeyValuePair<string, string>(line.Substring(0, colon), line.Substring(colon + 1)));
            if (line.StartsWith("content-length:", StringComparison.OrdinalIgnoreCase)) length = int.Parse(line.Substring(colon + 1));
        }
        var body = new byte[length];
        for (int at = 0, read; at < length; at += read)
        {
            read = stream.Read(body, at, length - at);
            if (read == 0) return;
        }
        try
        {
            IDictionary<string, string> person = Current().Check(request[0], request[1], headers, body);
            string who;
            person.TryGetValue("fnr", out who);
            var said = new Dictionary<string, string> { { "who", who }, { "body", Encoding.GetEncoding("latin1").GetString(body) } };
            Answer(stream, "200 OK", JsonSerializer.Serialize(said));
        }
        catch (Portvakt.Refused refused)
        {
            Console.Error.WriteLine("portvakt: refused: " + refused.Message);
            Answer(stream, "403 Forbidden", "");
        }
        catch (ArgumentException error)
        {
            // A configuration that it cannot check: the application would not start.
            Console.Error.WriteLine(error.Message);
            Answer(stream, "403 Forbidden", "");
        }
    }

    private static Portvakt.Verifier Current()
    {
        JsonElement control = JsonDocument.Parse(File.ReadAllText(Environment.GetEnvironmentVariable("KIT_CONTROL"))).RootElement;
        now = control.GetProperty("now").GetInt64();
        if (control.GetProperty("vector").GetString() != vector)
        {
            vector = "";
            verifier = new Portvakt.Verifier(control.GetProperty("config").GetRawText(), () => now);
            vector = control.GetProperty("vector").GetString();
        }
        return verifier;
    }

    private static string Line(NetworkStream stream)
    {
        var line = new StringBuilder();
        for (int letter = stream.ReadByte(); letter != '\n'; letter = stream.ReadByte())
        {
            if (letter < 0) throw new IOException("cut");
            line.Append((char)letter);
        }
        return line.ToString().TrimEnd('\r');
    }

    private static void Answer(NetworkStream stream, string status, string body)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(body);
        byte[] head = Encoding.ASCII.GetBytes("HTTP/1.1 " + status + "\r\nContent-Length: " + bytes.Length + "\r\nConnection: close\r\n\r\n");
        stream.Write(head, 0, head.Length);
        stream.Write(bytes, 0, bytes.Length);
    }
}

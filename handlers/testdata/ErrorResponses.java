import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;

import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.requests.AbstractRequest;
import org.apache.kafka.common.requests.AbstractResponse;

/**
 * Asks Kafka's own request classes how they answer a request with nothing but an error. A line of the input has the
 * key of the API, the version, the code, a message or "-", and the body of the request in hexadecimal digits. A line of
 * the output has the body of the answer, or "none", and what Kafka says about the code without a message.
 */
public class ErrorResponses {
    public static void main(String[] args) throws Exception {
        HexFormat hex = HexFormat.of();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String[] words = line.split(" ", -1);
            ApiKeys api = ApiKeys.forId(Integer.parseInt(words[0]));
            short version = Short.parseShort(words[1]);
            Errors error = Errors.forCode(Short.parseShort(words[2]));
            String message = words[3].equals("-") ? null : words[3];
            ByteBuffer body = ByteBuffer.wrap(hex.parseHex(words[4]));
            AbstractRequest request = AbstractRequest.parseRequest(api, version, new ByteBufferAccessor(body)).request;
            AbstractResponse response = request.getErrorResponse(0, error.exception(message));
            System.out.println((response == null ? "none" : hex.formatHex(bytes(response, version))) + " " + error.message());
        }
    }

    private static byte[] bytes(AbstractResponse response, short version) {
        return MessageUtil.byteBufferToArray(MessageUtil.toByteBufferAccessor(response.data(), version).buffer());
    }
}

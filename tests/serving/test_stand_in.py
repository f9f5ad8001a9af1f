"""What the stand-in answers to others than our client, as the real server's documents have it."""

import grpc
import numpy as np
import pytest
import requests
from stand_in import StandIn
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)


@pytest.fixture(scope="module")
def server(exported):
    with StandIn({"digits": exported.path.parent}) as server:
        yield server


def test_status_and_metadata_by_rest(server):
    url = f"http://{server.rest}/v1/models/digits"
    status = {"error_code": "OK", "error_message": ""}
    assert requests.get(url).json() == {
        "model_version_status": [{"version": "1", "state": "AVAILABLE", "status": status}]
    }
    assert requests.get(f"{url}/versions/2").status_code == 404
    metadata = requests.get(f"{url}/metadata").json()
    assert metadata["model_spec"] == {"name": "digits", "signature_name": "", "version": "1"}
    signature = metadata["metadata"]["signature_def"]["signature_def"]["log_prob"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["method_name"] == "tensorflow/serving/predict"


def test_rows_and_columns_by_rest(server):
    url = f"http://{server.rest}/v1/models/digits/versions/1:predict"
    rows = [{"cond": k, "seed": [k, 1], "temperature": 0.5} for k in range(3)]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    by_row = requests.post(url, json={"instances": rows}).json()["predictions"]
    by_column = requests.post(url, json={"inputs": columns}).json()["outputs"]
    assert by_row == by_column and np.shape(by_row) == (3, 8, 8, 1)
    cards = requests.post(url, json={"signature_name": "card", "instances": [0, 0]}).json()
    assert len(cards["predictions"]) == 2 and '"digits"' in cards["predictions"][0]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": {"cond": [1]}}, "Missing named input: seed in 'inputs' object."),
        ({"inputs": [], "signature_name": "f"}, 'Serving signature name: "f" not found in signa'),
        ([1], "JSON Parse error"),
    ],
)
def test_wrong_requests_by_rest(server, body, message):
    answer = requests.post(f"http://{server.rest}/v1/models/digits:predict", json=body)
    assert answer.status_code == 400 and message in answer.json()["error"]


def test_metadata_and_a_missing_signature_by_grpc(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "digits"
        response = stub.GetModelMetadata(request)
        assert response.model_spec.version.value == 1
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        assert {"sample", "serving_default", "card"} <= set(found.signature_def)
        request = predict_pb2.PredictRequest()
        request.model_spec.name = "digits"
        request.model_spec.signature_name = "f"
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert caught.value.details() == 'Serving signature key "f" not found.'

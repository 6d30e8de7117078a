/// The release that programs and daemon belong to.
public enum Release {
    /// As `ucopyctl version` and `org.varlink.service.GetInfo` tell it.
    public static let version = "0.1.0"
}
